"""A slide for an image without expression, with spots as a run's slides have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError, UsageError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.info import SpotShape
from stbench.slides.lattice import Lattice, pitch_of, require_positive
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource
from stbench.slides.tissue import tissue_mask
from stbench.store import Layout, RunRecord
from stbench.store.slide_info import slide_info

if TYPE_CHECKING:
    from pandas import Index


@dataclass(frozen=True)
class Spots:
    """What a model was trained on: spots of some size at some distance.

    Attributes
    ----------
    um, shape
        Size and shape of a spot.
    grid
        Arrangement; ``square`` where the run's slides have no grid.
    pitch_um
        Distance of neighbouring centres.
    technology
        As the run's slides state it.
    """

    um: float
    shape: SpotShape
    grid: Literal["hex", "square"]
    pitch_um: float
    technology: str = ""

    @classmethod
    def of_run(cls, layout: Layout, record: RunRecord, spot_um: float | None, pitch_um: float | None) -> Spots:
        """Spots of the first slide that a run tested; sizes that are given take precedence."""
        key = record.test[0].truth_key
        stated = slide_info(layout, key)
        um = spot_um or float(stated.get("spot_um", 100.0))
        usual = pitch_um or _stored_pitch_um(layout, key, stated.get("mpp")) or um
        require_positive("--spot-um", um)
        require_positive("--pitch-um", usual)
        grid: Literal["hex", "square"] = "hex" if stated.get("grid") == "hex" else "square"
        return cls(um, stated.get("spot_shape", "circle"), grid, usual, str(stated.get("technology", "")))


def open_source(path: Path, cache_dir: Path) -> ImageSource:
    """Open an image.

    Raises
    ------
    DataError
        A file that is not there, or not an image.
    """
    try:
        digest = cache.sha256(path, cache_dir)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; correct --image") from error
    source = ImageSource(path, digest, np.empty((0, 2)), cache_dir)
    _ = source.image  # what is wrong with it is said now
    return source


def scale_of(source: ImageSource, mpp: float | None) -> tuple[float, str]:
    """µm per pixel, and who says so.

    Raises
    ------
    UsageError
        Neither the command nor the file does.
    """
    if mpp is not None:
        require_positive("--mpp", mpp)
        return mpp, "--mpp"
    if source.image.mpp is None:
        raise UsageError(f"{source.path} does not say its scale (µm per pixel); give it with --mpp")
    return source.image.mpp, "image file"


def grid_slide(source: ImageSource, scale: tuple[float, str], spots: Spots, masked: bool) -> Slide:
    """Spots on a grid over an image.

    Parameters
    ----------
    masked
        Keep spots on tissue only.

    Raises
    ------
    DataError
        No spot is left.
    """
    import pandas as pd

    mpp, _ = scale
    image = source.image
    lattice = Lattice(spots.grid, spots.pitch_um / mpp)
    covers = tissue_mask(image, mpp).covers if masked else None
    positions, centers = lattice.over(image.size, covers)
    if not len(centers):
        if masked:
            raise DataError(f"no tissue found on {source.path}; --no-tissue-mask predicts all of the image")
        width, height = image.size
        raise DataError(
            f"{source.path} ({width} × {height} px) is smaller than the distance of two spots ({spots.pitch_um:g} µm); "
            "correct --mpp or --pitch-um"
        )
    names = pd.Index([f"{row}x{column}" for row, column in positions])
    return _slide(source, scale, spots, names, centers, positions, spots.grid)


def points_slide(source: ImageSource, scale: tuple[float, str], spots: Spots, path: Path) -> Slide:
    """Spots at the points of a table with columns x and y in pixels; their array positions are fractional.

    Raises
    ------
    DataError
        A table without such columns, or with points outside of the image.
    """
    import pandas as pd

    centers = _read_points(path)
    width, height = source.image.size
    outside = ~((centers >= 0) & (centers < (width, height))).all(1)
    if outside.any():
        x, y = centers[outside][0]
        raise DataError(
            f"{path}: {int(outside.sum())} of {len(centers)} points lie outside of {source.path} "
            f"({width} × {height} px), the first at {x:g}, {y:g}; give x and y in pixels of the image"
        )
    positions = Lattice(spots.grid, spots.pitch_um / scale[0]).positions(centers)
    names = pd.RangeIndex(len(centers)).astype(str)
    return _slide(source, scale, spots, names, centers, positions, "none")


def bare_slide(source: ImageSource, scale: tuple[float, str], spots: Spots) -> Slide:
    """An image without any spot, for a map of all of it."""
    import pandas as pd

    nothing = np.empty((0, 2))
    return _slide(source, scale, spots, pd.RangeIndex(0).astype(str), nothing, nothing, "none")


def _slide(
    source: ImageSource,
    scale: tuple[float, str],
    spots: Spots,
    names: Index,
    centers: NDArray[np.float64],
    positions: NDArray[np.number],
    grid: Literal["hex", "square", "none"],
) -> Slide:
    import pandas as pd
    from anndata import AnnData

    name = source.path.stem
    info = SlideInfo(
        id=name,
        patient=name,
        image_id=name,
        dataset="",
        technology=spots.technology,
        spot_um=spots.um,
        spot_shape=spots.shape,
        grid=grid,
        mpp=scale[0],
        mpp_source=scale[1],
    )
    obs = pd.DataFrame(array_columns(*positions.T), index=names)
    return Slide(AnnData(obs=obs, obsm={"spatial": centers}), info, source.at(centers)).without_expression()


def _read_points(path: Path) -> NDArray[np.float64]:
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["x", "y"], dtype=np.float64)[["x", "y"]]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; correct --points") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is no CSV with columns x and y in pixels ({error}); correct it") from error
    centers = table.to_numpy()
    if not len(centers) or not np.isfinite(centers).all():
        raise DataError(f"{path} holds no points, or some without x or y; correct it")
    return np.asarray(centers)


def _stored_pitch_um(layout: Layout, truth_key: str, mpp: float | None) -> float | None:
    """Distance of neighbouring spots that were tested, if the store knows it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        spots = pq.read_table(layout.truth_folder(truth_key) / "spots.parquet", columns=["x_px", "y_px"])
    except (OSError, pa.ArrowException):
        return None
    pitch = pitch_of(np.column_stack([spots["x_px"], spots["y_px"]]))
    return pitch * mpp if pitch and mpp else None
