"""Telling whether a model's code may change under its version number."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path


@cache
def source_digest(distribution_name: str, factory: str) -> str | None:
    """Digest of the source files of an editable installation's package; None if it is installed for good.

    Parameters
    ----------
    factory
        The model's import string; its top-level package is read (of stbench's own controls: `stbench.models`).
    """
    if not _is_editable(distribution_name):
        return None
    module = factory.partition(":")[0]
    package = "stbench.models" if module.startswith("stbench.") else module.partition(".")[0]
    found = find_spec(package)
    digest = hashlib.sha256()
    for folder in found.submodule_search_locations or () if found else ():
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _is_editable(name: str) -> bool:
    try:
        text = distribution(name).read_text("direct_url.json")
    except PackageNotFoundError:
        return False
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
