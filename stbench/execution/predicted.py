"""Predictions of one slide, checked: the right shape, numbers, finite."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stbench.errors import PredictionError
from stbench.models import Points, Prediction
from stbench.models.contract import PredictionBlock
from stbench.slides import Slide

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Predicted:
    """What was predicted for a slide.

    Attributes
    ----------
    mean
        (spots, genes).
    std
        Standard deviation, (spots, genes), if there is one.
    given
        False where nothing was predicted (the mean is 0 there), (spots, genes); None: everything was.
    """

    mean: Array
    std: Array | None = None
    given: Mask | None = None

    def counted(self, slide: Slide) -> Mask:
        """Entries that are scored: measured, and predicted, (spots, genes)."""
        return slide.measured if self.given is None else slide.measured & self.given

    def forget(self) -> None:
        """Let go of the memory of what waits in files; reading brings it back."""
        for array in (self.mean, self.std):
            held: object = getattr(array, "base", None)
            if isinstance(held, mmap.mmap) and sys.platform == "linux":
                held.madvise(mmap.MADV_DONTNEED)

    def coverage(self, slide: Slide) -> float:
        """Share of the measured entries that were predicted."""
        if self.given is None:
            return 1.0
        measured = int(slide.measured.sum())
        return int(self.counted(slide).sum()) / measured if measured else 1.0


def gather(prediction: Prediction, slide: Slide, n_genes: int, folder: Path) -> Predicted:
    """Check a prediction; blocks are gathered in a memory map below `folder`, a gene after the other.

    Raises
    ------
    PredictionError
        Wrong shape, values that are not finite, blocks that do not tile the slide.
    """
    expected = (slide.n_spots, n_genes)
    if isinstance(prediction, np.ndarray):
        return Predicted(_checked(prediction, expected, slide))
    blocks = checked_blocks(prediction, slide, n_genes)
    folder.mkdir(parents=True, exist_ok=True)
    mean, std = _by_gene(folder / "mean.npy", expected), None
    for rows, block, block_std in blocks:
        mean[rows] = block
        if block_std is not None:
            if std is None:
                std = _by_gene(folder / "std.npy", expected)
                std[:] = np.nan
            std[rows] = block_std
    return Predicted(mean, std)


def checked_blocks(prediction: Prediction, slide: Slide, n_genes: int) -> Iterator[PredictionBlock]:
    """Check a prediction block by block as it comes; an array is one block.

    Raises
    ------
    PredictionError
        Wrong shape, values that are not finite, blocks that do not tile the slide.
    """
    if isinstance(prediction, np.ndarray):
        yield slice(0, slide.n_spots), _checked(prediction, (slide.n_spots, n_genes), slide), None
        return
    if not hasattr(prediction, "__next__"):
        kind = type(prediction).__name__
        raise PredictionError(f"predict returned {kind}; return a numpy array (spots, genes) or an iterator of blocks")
    stop = 0
    blocks: Iterator[object] = prediction  # a plugin's
    for item in blocks:
        if not (isinstance(item, tuple) and len(item) == 3 and isinstance(item[0], slice)):
            kind = type(item).__name__
            raise PredictionError(f"slide {slide.info.id}: a block is {kind}, not (slice of spots, mean, std or None)")
        rows, block, block_std = item
        if rows.start != stop:
            raise PredictionError(f"slide {slide.info.id}: a block starts at spot {rows.start}, not at {stop}")
        if rows.stop is None or not stop <= rows.stop <= slide.n_spots:
            raise PredictionError(f"slide {slide.info.id}: a block ends at spot {rows.stop} of {slide.n_spots}")
        stop = rows.stop
        shape = (rows.stop - rows.start, n_genes)
        yield rows, _checked(block, shape, slide), None if block_std is None else _checked(block_std, shape, slide)
    if stop != slide.n_spots:
        raise PredictionError(f"slide {slide.info.id}: blocks end at spot {stop} of {slide.n_spots}")


def _by_gene(path: Path, shape: tuple[int, int]) -> Array:
    """A writable (spots, genes) whose columns lie in one piece each, as they are scored and stored."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape, fortran_order=True)


def checked_points(points: Points, slide: Slide, n_genes: int) -> Points:
    """Check predictions away from the spots.

    Raises
    ------
    PredictionError
        Wrong shapes, values that are not finite, no size.
    """
    centers = np.asarray(points.centers_px, np.float64)
    if centers.ndim != 2 or centers.shape[1] != 2 or not np.isfinite(centers).all() or not points.side_um > 0:
        raise PredictionError(f"slide {slide.info.id}: points need centres (points, 2), finite, and a size above 0")
    return Points(centers, float(points.side_um), _checked(points.mean, (len(centers), n_genes), slide))


def _checked(values: object, shape: tuple[int, int], slide: Slide) -> Array:
    array = np.asarray(values)
    if array.shape != shape:
        raise PredictionError(
            f"slide {slide.info.id}: the prediction has shape {array.shape}, not {shape} (spots, genes); "
            "predict must return one row per spot and one column per panel gene"
        )
    if not np.issubdtype(array.dtype, np.floating) and not np.issubdtype(array.dtype, np.integer):
        raise PredictionError(f"slide {slide.info.id}: the prediction holds {array.dtype}, not numbers")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise PredictionError(
            f"slide {slide.info.id}: {bad} of {array.size} predicted values are NaN or infinite; predict must return "
            "finite numbers"
        )
    return array
