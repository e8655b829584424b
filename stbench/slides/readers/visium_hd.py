"""Visium HD output of Space Ranger 3 and later: bins of 2, 8 and 16 µm, each size a slide of its own on one image.

``binned_outputs/square_008um/`` holds what a run of Visium holds: ``filtered_feature_bc_matrix.h5`` and ``spatial/``
with ``tissue_positions.parquet``, ``scalefactors_json.json`` and reduced images. A section has hundreds of thousands of
bins of 8 µm and millions of 2 µm: counts are kept on disk and sparse, and nothing is done bin by bin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache
from stbench.slides.readers.assemble import assemble
from stbench.slides.readers.images import images_in
from stbench.slides.readers.pitch import measure_pitch
from stbench.slides.readers.section import Section
from stbench.slides.readers.spaceranger_files import IMAGES, SCALEFACTORS, RunFiles, find_run

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

BINNED = "binned_outputs"
POSITIONS = "tissue_positions.parquet"
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
TOLERATED_DISAGREEMENT = 0.05
VALUES_PER_BLOCK = 1 << 24
PLACES_LOOKED_AT = 20_000
"""Bins whose places settle the pitch."""
REMEDY = "give the folder outs/ of a complete Space Ranger run, unpacked anew"


@dataclass(frozen=True)
class Scale:
    """What the scale factors of a bin size say, and the image they are taken for.

    Attributes
    ----------
    bin_um
        Side of a bin.
    image, mpp, source
        The image, its µm per pixel and where they came from.
    factor
        Pixels of that image per full-resolution pixel.
    notes
        Sentences for the user.
    """

    bin_um: float
    image: Path | None
    mpp: float
    source: str
    factor: float
    notes: tuple[str, ...]


def bin_folders(folder: Path) -> dict[int, Path]:
    """Find the folders of a run's bin sizes, by size in µm.

    Parameters
    ----------
    folder
        ``outs``, the folder that holds it, ``binned_outputs``, or the folder of one bin size.
    """
    if size := _size(folder):
        return {size: folder}
    for place in (folder / BINNED, folder / "outs" / BINNED, folder):
        found = {size: child for child in sorted(place.glob("square_*um")) if (size := _size(child))}
        if found:
            return found
    return {}


def bin_folder(folder: Path, bin_um: int) -> Path:
    """Find the folder of one bin size.

    Raises
    ------
    DataError
        It is not there; the message says which are.
    """
    found = bin_folders(folder)
    if bin_um not in found:
        have = ", ".join(f"{um} µm" for um in sorted(found)) or "none"
        raise DataError(
            f"{folder} has no bins of {bin_um} µm (square_{bin_um:03d}um); of bin sizes it has {have}: unpack all of "
            f"{BINNED}, or ask for one of these"
        )
    return found[bin_um]


def run_folder(folder: Path) -> Path:
    """The folder of a whole run: the one that holds ``outs`` and what is in it."""
    inner = folder.name.startswith("square_") or folder.name in ("outs", BINNED)
    return run_folder(folder.parent) if inner else folder


def full_image(folder: Path) -> Path | None:
    """The full-resolution image beside the bins of a run, if there is one; the folder is as for `bin_folders`.

    It is called ``tissue_image`` with or without the sample before it, ``image`` alone, or it is the only image there.
    The CytAssist's image of the slide, which 10x Genomics calls ``<sample>_image`` or ``…cytassist…``, is not taken.
    """
    run = run_folder(folder)
    images = [image for place in (run, run / "outs") if place.is_dir() for image in images_in(place)]
    if named := [image for image in images if image.name.partition(".")[0].endswith("tissue_image")]:
        return named[0]
    others = [image for image in images if "cytassist" not in image.name.lower() and "_image." not in image.name]
    plain = [image for image in others if image.name.startswith("image.")]
    return next(iter(plain), others[0] if len(others) == 1 else None)


def read_scale(folder: Path, image: Path | None = None) -> Scale:
    """Read the scale of a bin size without its counts; parameters are those of `read_bins`.

    Raises
    ------
    DataError
        Scale factors that are missing, damaged or contradict each other.
    """
    run = find_run(folder)
    stated = _read_scalefactors(run, folder)
    image, factor, notes = _choose_image(run, image, stated)
    mpp = float(stated["microns_per_pixel"]) / factor
    return Scale(float(stated["bin_size_um"]), image, mpp, "microns_per_pixel", factor, notes)


def read_bins(folder: Path, image: Path | None, cache_dir: Path) -> Section:
    """Read the bins of one size.

    Parameters
    ----------
    folder
        ``square_008um`` or another size.
    image
        The full-resolution image given to Space Ranger; without it, the hires (else lowres) image is taken and
        coordinates are scaled to it.
    cache_dir
        The cache's root: counts are laid out there once, and mapped.

    Returns
    -------
    Section
        Its matrix is CSR over memory maps.

    Raises
    ------
    DataError
        Files that are missing, damaged or contradict each other.
    """
    run = find_run(folder)
    if run.matrix is None or run.matrix.suffix != ".h5":
        raise DataError(f"{folder}: filtered_feature_bc_matrix.h5 is not there; {REMEDY}")
    scale = read_scale(folder, image)
    counts, barcodes, genes, symbols = _read_counts(run.matrix, cache_dir)
    places = _read_places(run).reindex(barcodes)
    if missing := int(places["in_tissue"].isna().sum()):
        raise DataError(f"{run.spatial / POSITIONS}: {missing} of {len(barcodes)} bins have no position; {REMEDY}")
    _refuse_other_pitch(places, scale, run.spatial)
    adata = assemble(
        run.matrix,
        counts,
        barcodes,
        genes,
        places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * scale.factor,
        symbols=symbols,
        array=places[["array_row", "array_col"]].to_numpy(),
        in_tissue=places["in_tissue"].to_numpy(),
    )
    stated = (scale.image, scale.mpp, scale.source, scale.bin_um)
    return Section(adata, *stated, "square", "square", "Visium HD", scale.notes)


def _size(folder: Path) -> int:
    """Bin size that a folder's name says, µm; 0 if it says none."""
    digits = folder.name.removeprefix("square_").removesuffix("um")
    return int(digits) if folder.name.startswith("square_") and digits.isdecimal() and folder.is_dir() else 0


def _read_scalefactors(run: RunFiles, folder: Path) -> dict[str, Any]:
    """Scale factors that agree with each other and with the folder's name."""
    path = run.spatial / SCALEFACTORS
    try:
        found = dict(json.loads(path.read_text()))
        bin_um, mpp, spot_px = (
            float(found[key]) for key in ("bin_size_um", "microns_per_pixel", "spot_diameter_fullres")
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is missing, truncated or lacks a scale factor ({error}); {REMEDY}") from error
    named = _size(folder) or bin_um
    if bin_um != named:
        raise DataError(f"{path}: bin_size_um is {bin_um:g}, the folder says {named} µm; {REMEDY}")
    if not (mpp > 0 and abs(spot_px * mpp / bin_um - 1) <= TOLERATED_DISAGREEMENT):
        raise DataError(
            f"{path}: microns_per_pixel ({mpp:g}) and spot_diameter_fullres ({spot_px:g}) make bins of "
            f"{spot_px * mpp:g} µm, bin_size_um says {bin_um:g}; {REMEDY}"
        )
    return found


def _choose_image(
    run: RunFiles, image: Path | None, scale: dict[str, Any]
) -> tuple[Path | None, float, tuple[str, ...]]:
    """Return the image, its pixels per full-resolution pixel, and what to say about it."""
    if image is not None:
        return image, 1.0, ()
    if run.reduced_image is None:
        names = " nor ".join(name for name, _ in IMAGES)
        return None, 1.0, (f"{run.spatial} holds neither {names}; give the full-resolution image",)
    reduced, key = run.reduced_image
    factor = scale.get(key)
    if not isinstance(factor, int | float) or not factor > 0:
        raise DataError(f"{run.spatial / SCALEFACTORS}: {key} is missing or not positive; {REMEDY}")
    return reduced, float(factor), (f"{reduced.name} ({factor:.4g} of full resolution) is the image: none was given",)


def _read_places(run: RunFiles) -> pd.DataFrame:
    """Places of all bins of the slide, by barcode."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run.spatial / POSITIONS
    try:
        table = pq.read_table(path, columns=COLUMNS)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is missing, truncated or no table of positions ({reason}); {REMEDY}") from error
    places = table.to_pandas().set_index("barcode")
    if not places.index.is_unique:
        twice = places.index[places.index.duplicated()][0]
        raise DataError(f"{path}: bin {twice} appears twice; {REMEDY}")
    return places


def _refuse_other_pitch(places: pd.DataFrame, scale: Scale, spatial: Path) -> None:
    """Raise if the bins' places are not as far apart as the scale factors say they are."""
    some = places.iloc[:: -(-len(places) // PLACES_LOOKED_AT)]
    centers = some[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    pitch = measure_pitch(some[["array_row", "array_col"]].to_numpy(), centers)
    expected = scale.bin_um / (scale.mpp * scale.factor)
    if pitch is None:
        return
    if not pitch.fits or any(abs(px / expected - 1) > TOLERATED_DISAGREEMENT for px in (pitch.row_px, pitch.col_px)):
        raise DataError(
            f"{spatial / POSITIONS}: bins lie {pitch.row_px:.4g} and {pitch.col_px:.4g} px apart, {SCALEFACTORS} says "
            f"{expected:.4g} px for {scale.bin_um:g} µm: they are not of one image; {REMEDY}"
        )


def _read_counts(path: Path, cache_dir: Path) -> tuple[csr_matrix, pd.Index, list[str], list[str]]:
    """Counts (bins, genes) over memory maps, barcodes, gene ids and symbols; features other than genes are left out."""
    import h5py
    import pandas as pd
    from scipy.sparse import csr_matrix

    try:
        with h5py.File(path) as file:
            matrix = file["matrix"]
            barcodes = pd.Index(matrix["barcodes"].asstr()[:], dtype=object)
            features = matrix["features"]
            ids, symbols, kinds = (features[key].asstr()[:] for key in ("id", "name", "feature_type"))
            shape = (len(barcodes), len(ids))
            indptr = np.asarray(matrix["indptr"][:], np.int64)
            digest = cache.sha256(path, cache_dir)
            data, indices = (
                cache.array(
                    cache_dir / "counts" / f"{digest}-{name}.npy",
                    (int(indptr[-1]),),
                    np.int32,
                    lambda out, values=matrix[name]: _copy(values, out),  # type: ignore[misc]
                )
                for name in ("data", "indices")
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} is truncated or not a count matrix of Space Ranger ({reason}); {REMEDY}") from error
    small = indptr[-1] < 2**31
    counts = csr_matrix((data, indices, indptr.astype(np.int32) if small else indptr), shape=shape, copy=False)
    is_gene = kinds == "Gene Expression"
    if not is_gene.all():
        counts = counts[:, is_gene]
    return counts, barcodes, list(ids[is_gene]), list(symbols[is_gene])


def _copy(values: Any, out: NDArray[np.int32]) -> None:
    for start in range(0, len(out), VALUES_PER_BLOCK):
        out[start : start + VALUES_PER_BLOCK] = values[start : start + VALUES_PER_BLOCK]
