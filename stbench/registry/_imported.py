"""Where the definitions of imported datasets lie; listing them imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path


def definitions_folder() -> Path:
    """Folder of the definitions: ``STBENCH_DATASETS``, else the platform's data folder."""
    import platformdirs

    chosen = os.environ.get("STBENCH_DATASETS")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("stbench", appauthor=False)) / "datasets"


def definition_path(name: str) -> Path:
    """Definition file of a dataset."""
    return definitions_folder() / f"{name}.toml"


def imported_names() -> list[str]:
    """Names of the datasets that were imported."""
    return sorted(path.stem for path in definitions_folder().glob("*.toml"))
