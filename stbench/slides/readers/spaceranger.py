"""Output of 10x Space Ranger, versions 1 to 3: Visium slides with 55 µm spots.

``outs/`` holds ``filtered_feature_bc_matrix.h5`` (or the folder of that name, or ``raw_…``) and ``spatial/`` with
``tissue_positions_list.csv`` (version 1, no header), ``tissue_positions.csv`` (version 2 on, header) or
``tissue_positions.parquet``, ``scalefactors_json.json`` and ``tissue_{hires,lowres}_image.png``. Names may begin with
the sample's (`spaceranger_files`).
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides.readers.assemble import assemble
from stbench.slides.readers.pitch import Scale
from stbench.slides.readers.section import Section
from stbench.slides.readers.spaceranger_files import IMAGES, MATRICES, POSITIONS, SCALEFACTORS, RunFiles, find_run
from stbench.slides.readers.visium import SPOT_UM, visium_scale

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
REMEDY = "give the folder outs/ of a complete Space Ranger run"


@dataclass(frozen=True)
class Places:
    """Where the spots of a run lie.

    Attributes
    ----------
    table
        Rows of the positions file, by barcode: all spots of the slide.
    file
        That file.
    image
        The image chosen, or None.
    factor
        Pixels of that image per full-resolution pixel.
    scale
        µm per pixel of that image.
    notes
        Sentences for the user.
    """

    table: DataFrame
    file: Path
    image: Path | None
    factor: float
    scale: Scale
    notes: tuple[str, ...]


def is_spaceranger(folder: Path) -> bool:
    """Whether a folder (or its ``outs``) looks like Space Ranger output of a Visium slide."""
    run = find_run(folder)
    return run.positions is not None and run.matrix is not None


def read_places(folder: Path, image: Path | None = None) -> Places:
    """Read where the spots are and the scale of the image, without the counts and without opening the image.

    Parameters are those of `read_spaceranger`.

    Raises
    ------
    DataError
        Positions or scale factors that are missing or damaged.
    """
    return _places(find_run(folder), image)


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
    run = find_run(folder)
    if run.is_hd:
        raise DataError(
            f"{folder} is Visium HD output, binned by squares; read one bin size of it, or import it: each is a slide"
        )
    if run.matrix is None:
        raise DataError(f"{run.outs}: none of {', '.join(MATRICES)} is there; {REMEDY}")
    places = _places(run, image)
    adata, notes = _read_matrix(run.matrix)
    missing = [name for name in adata.obs_names if name not in places.table.index]
    if missing:
        few = f"{len(missing)} of {adata.n_obs} spots of {run.matrix.name} ({missing[0]}, …)"
        raise DataError(f"{places.file}: {few} have no position; {REMEDY}")
    spots = places.table.loc[adata.obs_names]
    if run.is_raw:
        inside = spots["in_tissue"].to_numpy() == 1
        notes.append(
            f"no filtered matrix: of the {adata.n_obs} spots of {run.matrix.name}, {inside.sum()} are in tissue"
        )
        adata, spots = adata[inside], spots[inside]
    built = assemble(
        run.matrix,
        adata.X,
        list(adata.obs_names),
        list(adata.var["gene_ids"].astype(str)),
        _centers_px(spots, places.factor),
        symbols=list(adata.var_names),
        array=spots[["array_row", "array_col"]],
        in_tissue=spots["in_tissue"],
    )
    scale = places.scale
    everything = (*notes, *places.notes, *scale.notes)
    return Section(built, places.image, scale.mpp, scale.source, SPOT_UM, "circle", "hex", "Visium", everything)


def _places(run: RunFiles, image: Path | None) -> Places:
    table, file = _read_positions(run)
    scalefactors = _read_scalefactors(run.spatial / SCALEFACTORS, needed=image is None)
    image, factor, said = _choose_image(run, image, scalefactors)
    scale = visium_scale(table[["array_row", "array_col"]], _centers_px(table, factor), scalefactors, factor)
    return Places(table, file, image, factor, scale, tuple(said))


def _centers_px(spots: DataFrame, factor: float) -> NDArray[np.float64]:
    return np.asarray(spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * factor)


def _read_positions(run: RunFiles) -> tuple[DataFrame, Path]:
    """Places of all spots of the slide, by barcode."""
    import pandas as pd

    path = run.positions
    if path is None:
        raise DataError(f"{run.spatial}: none of {', '.join(POSITIONS)} is there; {REMEDY}")
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
    run: RunFiles, image: Path | None, scalefactors: dict[str, Any]
) -> tuple[Path | None, float, list[str]]:
    """Return the image, its pixels per full-resolution pixel, and what to say about it."""
    if image is not None:
        return image, 1.0, []
    if run.reduced_image is None:
        return (
            None,
            1.0,
            [f"{run.spatial} holds neither {IMAGES[0][0]} nor {IMAGES[1][0]}; give the full-resolution image"],
        )
    reduced, key = run.reduced_image
    factor = scalefactors.get(key)
    if not isinstance(factor, int | float) or not factor > 0:
        raise DataError(f"{run.spatial / SCALEFACTORS}: {key} is missing or not positive; {REMEDY}")
    said = f"{reduced.name} ({factor:.4g} of full resolution) is the image: none was given"
    return reduced, float(factor), [said]
