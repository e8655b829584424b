"""Where things lie in a store.

::

    STORE.json
    runs/<dataset>/<protocol>/<model>/<cell_key>-<run_id>/   run.json *.parquet log.txt [model/]
                                                             metrics-<metric>.parquet, added by a re-score
    truth/<truth_key>/   truth.parquet spots.parquet references.parquet
    index/<generation>/  the small tables of many runs together; can be deleted and written again
    .staging/            runs being written: never read
    .submitted/          jobs that a cluster's queue has, each until all of it has ended
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from stbench.errors import StoreError
from stbench.versions import SCHEMA_VERSION

MARKER = "STORE.json"
FORMAT = "stbench-store"
DEFAULT = "stbench-store"


RESCORED = "metrics-{metric}.parquet"
"""A metric that was computed after the run, in the run's folder."""


@dataclass(frozen=True)
class Layout:
    """Paths inside the store at `root`."""

    root: Path

    @property
    def runs(self) -> Path:
        """Committed runs."""
        return self.root / "runs"

    @property
    def truth(self) -> Path:
        """Targets, once per slide target."""
        return self.root / "truth"

    @property
    def index(self) -> Path:
        """Generations of the index; the one that sorts last is read."""
        return self.root / "index"

    @property
    def staging(self) -> Path:
        """Runs being written; renamed into place when complete."""
        return self.root / ".staging"

    @property
    def submitted(self) -> Path:
        """Jobs in a cluster's queue, a folder each."""
        return self.root / ".submitted"

    def run_folder(self, dataset: str, protocol: str, model: str, cell_key: str, run_id: str) -> Path:
        """Final folder of one run."""
        return self.runs / dataset / protocol / model / f"{cell_key}-{run_id}"

    def inside(self, path: Path) -> str:
        """Name of a path inside the store, whatever the store's own path looks like."""
        text, prefix = str(path), f"{self.root}{os.sep}"
        return text[len(prefix) :] if text.startswith(prefix) else text  # a store called "." adds nothing in front

    def truth_folder(self, truth_key: str) -> Path:
        """Final folder of one slide target."""
        return self.truth / truth_key

    def exists(self) -> bool:
        """Whether the store is there: its folder may be removed or unmounted while a command runs."""
        return (self.root / MARKER).exists()

    def create(self) -> Layout:
        """Make the folders if they are not there and check the format.

        Raises
        ------
        StoreError
            The folder holds something else, was written by a newer stbench, or cannot be written.
        """
        self.check()
        try:
            self.staging.mkdir(parents=True, exist_ok=True)
            marker = self.root / MARKER
            if not marker.exists():
                partial = self.staging / f"{MARKER}.{os.getpid()}"
                partial.write_text(json.dumps({"format": FORMAT, "schema": SCHEMA_VERSION}) + "\n")
                os.replace(partial, marker)
            if not os.access(self.staging, os.W_OK):  # a file system mounted read-only, for one
                raise PermissionError(f"{self.staging} is read-only")
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be written ({error}); give another --store") from error
        return self

    def check(self) -> None:
        """Raise `StoreError` if the folder is not a store this version can read; an absent one is fine."""
        marker = self.root / MARKER
        try:
            stated = json.loads(marker.read_text())
        except FileNotFoundError:
            if self.root.exists() and set(os.listdir(self.root)) - {self.staging.name, MARKER}:
                raise StoreError(f"{self.root} exists and is not a store; give an empty --store") from None
            return
        except (OSError, ValueError) as error:
            raise StoreError(f"{marker} cannot be read ({error}); restore it or give another --store") from error
        known = isinstance(stated, dict) and isinstance(stated.get("schema"), int)
        if not known or stated.get("format") != FORMAT:
            raise StoreError(f"{marker} does not describe a {FORMAT}; give another --store")
        if stated["schema"] > SCHEMA_VERSION:
            raise StoreError(
                f"the store {self.root} has schema {stated['schema']}, this stbench reads up to {SCHEMA_VERSION}; "
                "upgrade stbench"
            )
