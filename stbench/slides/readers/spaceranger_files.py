"""Where the files of a Space Ranger run are: in ``outs/`` or not, with the sample's name before theirs or not.

10x Genomics hands out runs as ``<sample>_filtered_feature_bc_matrix.h5`` and ``<sample>_spatial.tar.gz``, which
unpacks to ``spatial/`` (some tools unpack it into ``<sample>_spatial/``). Some repositories have the files of
``spatial/`` beside the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stbench.errors import DataError

LIST = "tissue_positions_list.csv"
POSITIONS = ("tissue_positions.csv", "tissue_positions.parquet", LIST, "tissue_positions_list.txt")
MATRICES = tuple(f"{kind}_feature_bc_matrix{form}" for kind in ("filtered", "raw") for form in (".h5", ""))
SCALEFACTORS = "scalefactors_json.json"
IMAGES = (("tissue_hires_image.png", "tissue_hires_scalef"), ("tissue_lowres_image.png", "tissue_lowres_scalef"))
"""Reduced images, the larger first, and the key of their scale."""


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes
    ----------
    outs, spatial
        Their folders; `spatial` as it would be called where there is none.
    matrix, positions
        None where there is none.
    """

    outs: Path
    spatial: Path
    matrix: Path | None
    positions: Path | None

    @property
    def is_hd(self) -> bool:
        """Whether it is a Visium HD run: spots binned by squares."""
        outs = self.outs
        return (outs / "binned_outputs").is_dir() or outs.name.startswith("square_") or any(outs.glob("square_*um"))

    @property
    def is_raw(self) -> bool:
        """Whether the matrix holds all spots of the slide, those outside of the tissue included."""
        return self.matrix is not None and self.matrix.name.removesuffix(".h5").endswith("raw_feature_bc_matrix")

    @property
    def reduced_image(self) -> tuple[Path, str] | None:
        """The larger of the reduced images that is there, and the key of its scale."""
        here = ((self.spatial / name, key) for name, key in IMAGES)
        return next(((path, key) for path, key in here if path.is_file()), None)

    def every_file(self) -> list[Path]:
        """All count matrices and all files of ``spatial/``, in a fixed order."""
        found = [path for kind in ("filtered", "raw") for path in sorted(self.outs.glob(f"*{kind}_feature_bc_matrix*"))]
        found += sorted(self.spatial.glob("*"))  # the matrices again, where there is no spatial/
        return [file for path in dict.fromkeys(found) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def find_run(folder: Path) -> RunFiles:
    """Look for a run's files in a folder or in its ``outs``.

    Raises
    ------
    DataError
        Matrices of several samples in one folder.
    """
    is_parent = _spatial(folder) is None and (folder / "outs").is_dir()
    outs = folder / "outs" if is_parent else folder
    spatial = _spatial(outs) or outs / "spatial"
    positions = next((spatial / name for name in POSITIONS if (spatial / name).is_file()), None)
    matrices = (_matrix(outs, name) for name in MATRICES)
    return RunFiles(outs, spatial, next((path for path in matrices if path), None), positions)


def _spatial(folder: Path) -> Path | None:
    named = [folder / "spatial", *sorted(folder.glob("*_spatial"))]
    found = next((p for place in named for p in (place / "spatial", place) if p.is_dir()), None)
    return found or next((folder for name in POSITIONS if (folder / name).is_file()), None)


def _matrix(outs: Path, name: str) -> Path | None:
    """The matrix of this name, or the one whose name ends in it."""
    fits = [path for path in (outs / name, *sorted(outs.glob(f"*_{name}"))) if _is_kind(path)]
    if len(fits) > 1 and fits[0].name != name:
        raise DataError(f"{outs} holds {fits[0].name} and {fits[1].name}; give each sample a folder of its own")
    return fits[0] if fits else None


def _is_kind(path: Path) -> bool:
    return path.is_file() if path.suffix == ".h5" else path.is_dir()
