"""What lies in the cache: the one table that says which folders can be made again, and what one entry of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["computed", "copied", "kept"]


@dataclass(frozen=True)
class CacheFolder:
    """A folder below the cache's root.

    Attributes
    ----------
    holds
        Its content in words.
    kind
        ``computed`` by a run from the data; ``copied``: the data in a form that reads faster, made again from their
        files; ``kept``: what a command could not make again by itself.
    depth
        Path components from the folder to one entry, which is removed whole.
    """

    holds: str
    kind: Kind
    depth: int = 1

    @property
    def removable(self) -> bool:
        """Whether an entry that is gone costs time only."""
        return self.kind != "kept"


FOLDERS = {
    "patches": CacheFolder("patches around spots, by image, centres and size", "computed", 2),
    "masked": CacheFolder("share of spots on masked background", "computed", 2),
    "embeddings": CacheFolder("frozen embeddings, by image, centres and encoder", "computed", 2),
    "stages": CacheFolder("training stages that later ones build on", "computed", 2),
    "fitted": CacheFolder("states of protocol steps, by data, protocol and training parts", "computed"),
    "shared-genes": CacheFolder("genes that two data sets have in common", "computed"),
    "fits": CacheFolder("fitted models that cells of one command share", "computed"),
    "images": CacheFolder("decoded JPEG, PNG and strip TIFF images", "copied"),
    "counts": CacheFolder("parsed count tables", "copied"),
    "digests": CacheFolder("SHA-256 of files, by path, size and time", "copied"),
    "embedded": CacheFolder("images taken out of h5ad files", "copied"),
    "unpacked": CacheFolder("images unpacked from gzip", "copied"),
    "simulated": CacheFolder("the simulated data set, by version of its generator", "copied"),
    "simulated-hd": CacheFolder("the simulated data set of bins, by version of its generator", "copied"),
    "data": CacheFolder("downloads", "kept"),
    "weights": CacheFolder("weight files put there by hand", "kept"),
    "checksums": CacheFolder("checksums recorded at the first download", "kept"),
    "stores": CacheFolder("mirrors of stores in object stores, with runs that may not be uploaded yet", "kept"),
}

PLUGINS = CacheFolder("arrays that a plugin asked `ImageSource.cached` for", "computed", 2)
"""Any other folder; only entries named like an address count, whatever else it holds stays."""

ADDRESS = re.compile(r"[0-9a-f]{64}\.npy")


def computed() -> list[str]:
    """Names of the folders that runs fill."""
    return [name for name, folder in FOLDERS.items() if folder.kind == "computed"]
