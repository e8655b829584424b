"""Output of 10x Space Ranger, versions 1 to 3: Visium slides with 55 µm spots.

``outs/`` holds ``filtered_feature_bc_matrix.h5`` (or the folder of that name, or ``raw_…``) and ``spatial/`` with
``tissue_positions_list.csv`` (version 1, no header), ``tissue_positions.csv`` (version 2 on, header) or
``tissue_positions.parquet``, ``scalefactors_json.json`` and ``tissue_{hires,lowres}_image.png``.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stbench.errors import DataError
from stbench.slides.readers.assemble import assemble
from stbench.slides.readers.section import Section
from stbench.slides.readers.visium import SPOT_UM, visium_scale

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

POSITIONS = ("tissue_positions.csv", "tissue_positions.parquet", "tissue_positions_list.csv")
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
MATRICES = tuple(f"{kind}_feature_bc_matrix{form}" for kind in ("filtered", "raw") for form in (".h5", ""))
IMAGES = (("tissue_hires_image.png", "tissue_hires_scalef"), ("tissue_lowres_image.png", "tissue_lowres_scalef"))
REMEDY = "give the folder outs/ of a complete Space Ranger run"


def is_spaceranger(folder: Path) -> bool:
    """Whether a folder (or its ``outs``) looks like Space Ranger output, Visium HD included (which reading refuses)."""
    outs = _outs(folder)
    return _is_hd(outs) or (_positions_file(outs) is not None and _matrix_file(outs) is not None)


def read_spaceranger(folder: Path, image: Path | None = None) -> Section:
    """Read the output of Space Ranger.

    Parameters
    ----------
    folder
        ``outs`` or the folder that holds it.
    image
        The full-resolution image given to Space Ranger; without it, the hires (else lowres) image is taken and
        coordinates are scaled to it.

    Raises
    ------
    DataError
        Files that are missing, damaged or contradict each other; Visium HD.
    """
    outs = _outs(folder)
    if _is_hd(outs):
        raise DataError(f"{folder} is Visium HD output (binned by squares), which this reader does not cover")
    matrix_file = _matrix_file(outs)
    if matrix_file is None:
        raise DataError(f"{outs}: none of {', '.join(MATRICES)} is there; {REMEDY}")
    positions, positions_file = _read_positions(outs)
    scalefactors = _read_scalefactors(outs / "spatial" / "scalefactors_json.json", needed=image is None)
    adata, notes = _read_matrix(matrix_file)
    missing = [name for name in adata.obs_names if name not in positions.index]
    if missing:
        few = f"{len(missing)} of {adata.n_obs} spots of {matrix_file.name} ({missing[0]}, …)"
        raise DataError(f"{positions_file}: {few} have no position; {REMEDY}")
    places = positions.loc[adata.obs_names]
    if matrix_file.name.startswith("raw"):
        inside = places["in_tissue"].to_numpy() == 1
        notes.append(
            f"no filtered matrix: of the {adata.n_obs} spots of {matrix_file.name}, {inside.sum()} are in tissue"
        )
        adata, places = adata[inside], places[inside]

    image, factor, said = _choose_image(outs / "spatial", image, scalefactors)
    scale = visium_scale(
        positions[["array_row", "array_col"]],
        positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * factor,
        scalefactors,
        factor,
    )
    built = assemble(
        matrix_file,
        adata.X,
        list(adata.obs_names),
        list(adata.var["gene_ids"].astype(str)),
        places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * factor,
        symbols=list(adata.var_names),
        array=places[["array_row", "array_col"]],
        in_tissue=places["in_tissue"],
    )
    everything = (*notes, *said, *scale.notes)
    return Section(built, image, scale.mpp, scale.source, SPOT_UM, "circle", "hex", "Visium", everything)


def _outs(folder: Path) -> Path:
    is_parent = not (folder / "spatial").is_dir() and (folder / "outs").is_dir()
    return folder / "outs" if is_parent else folder


def _is_hd(outs: Path) -> bool:
    return (outs / "binned_outputs").is_dir() or outs.name.startswith("square_") or any(outs.glob("square_*um"))


def _matrix_file(outs: Path) -> Path | None:
    return next(
        (
            outs / name
            for name in MATRICES
            if (outs / name).is_dir() == (not name.endswith(".h5")) and (outs / name).exists()
        ),
        None,
    )


def _positions_file(outs: Path) -> Path | None:
    return next((outs / "spatial" / name for name in POSITIONS if (outs / "spatial" / name).is_file()), None)


def _read_positions(outs: Path) -> tuple[DataFrame, Path]:
    """Places of all spots of the slide, by barcode."""
    import pandas as pd

    path = _positions_file(outs)
    if path is None:
        raise DataError(f"{outs / 'spatial'}: none of {', '.join(POSITIONS)} is there; {REMEDY}")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            with path.open() as file:
                has_header = "barcode" in file.readline()
            table = pd.read_csv(path) if has_header else pd.read_csv(path, header=None, names=COLUMNS)
        table = table.reset_index()[COLUMNS].set_index("barcode").astype(float)
    except (OSError, ValueError, KeyError) as error:  # parsers' and pyarrow's errors are ValueErrors
        raise DataError(f"{path} is truncated or not a table of tissue positions ({error}); {REMEDY}") from error
    if not np.isfinite(table.to_numpy()).all():
        raise DataError(f"{path}: a row is incomplete, the file may be truncated; {REMEDY}")
    if not table.index.is_unique:
        raise DataError(f"{path}: spot {table.index[table.index.duplicated()][0]} appears twice; {REMEDY}")
    return table, path


def _read_matrix(path: Path) -> tuple[AnnData, list[str]]:
    """Counts of genes (other features are left out), named by symbol with ``var["gene_ids"]``."""
    import scanpy

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Variable names are not unique")
            if path.is_dir():
                adata = scanpy.read_10x_mtx(path, make_unique=False, gex_only=False)
            else:
                adata = scanpy.read_10x_h5(path, gex_only=False)
            if "feature_types" not in adata.var:
                return adata, []
            is_gene = (adata.var["feature_types"] == "Gene Expression").to_numpy()
            left_out = int((~is_gene).sum())
            notes = [f"{left_out} features other than gene expression were left out"] if left_out else []
            return adata[:, is_gene].copy(), notes
    except Exception as error:  # h5py, scipy and scanpy raise whatever a damaged byte leads them to
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} is truncated or not a count matrix of Space Ranger ({reason}); {REMEDY}") from error


def _read_scalefactors(path: Path, needed: bool) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError as error:
        if not needed:
            return {}
        raise DataError(f"{path} is not there; {REMEDY}, or give the full-resolution image") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is truncated or not JSON ({error}); {REMEDY}") from error
    return dict(found)


def _choose_image(
    spatial: Path, image: Path | None, scalefactors: dict[str, Any]
) -> tuple[Path | None, float, list[str]]:
    """Return the image, its pixels per full-resolution pixel, and what to say about it."""
    if image is not None:
        return image, 1.0, []
    for name, key in IMAGES:
        if (spatial / name).is_file():
            factor = scalefactors.get(key)
            if not isinstance(factor, int | float) or not factor > 0:
                raise DataError(f"{spatial / 'scalefactors_json.json'}: {key} is missing or not positive; {REMEDY}")
            return (
                spatial / name,
                float(factor),
                [f"{name} ({factor:.4g} of full resolution) is the image: none was given"],
            )
    return None, 1.0, [f"{spatial} holds neither {IMAGES[0][0]} nor {IMAGES[1][0]}; give the full-resolution image"]
