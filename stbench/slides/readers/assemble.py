"""From what a reader found to the AnnData of a `Section`: whole counts, unique ids, the columns every section has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stbench.errors import DataError
from stbench.slides.slide import array_columns

if TYPE_CHECKING:
    from anndata import AnnData

CENTERS_AS_ARRAY = "there are no usable array positions; pixel centres (y, x) stand in for them"


def why_not_counts(matrix: Any) -> str:
    """Say why a matrix does not hold raw counts; empty if it does.

    Parameters
    ----------
    matrix
        Dense or sparse, (spots, genes).
    """
    from scipy.sparse import issparse

    values = matrix.data if issparse(matrix) else np.asarray(matrix)
    if values.dtype.kind not in "buif":
        return f"values of type {values.dtype} are not numbers"
    if np.isnan(values).any():
        return "a value is missing (NaN)"
    if (values < 0).any():
        return f"a value is negative ({values.min():g})"
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        return f"a value is fractional ({values[values != np.floor(values)].flat[0]:g})"
    if values.size and values.max() >= 2**31:
        return f"a value is too large ({values.max():g})"
    return ""


def as_counts(matrix: Any, where: str | Path) -> Any:
    """Return a matrix as CSR of int32.

    Raises
    ------
    DataError
        Negative, fractional or missing values.
    """
    from scipy.sparse import csr_matrix

    if reason := why_not_counts(matrix):
        raise DataError(f"{where}: {reason}; give raw counts (whole numbers ≥ 0)")
    counts = csr_matrix(matrix)
    if counts.dtype == np.int32 and counts.data.all():
        return counts  # it may be gigabytes on disk
    counts = counts.astype(np.int32)
    counts.eliminate_zeros()
    return counts


def refuse_duplicates(where: str | Path, what: str, names: Sequence[str]) -> None:
    """Raise a DataError that names the first of `names` that appears twice."""
    import pandas as pd

    index = pd.Index(names, dtype=object)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"{where}: {what} {twice} appears twice; ids must be unique, keep one of them")


def assemble(
    where: str | Path,
    matrix: Any,
    spots: Sequence[str],
    genes: Sequence[str],
    centers_px: ArrayLike,
    *,
    symbols: Sequence[str] | None = None,
    array: ArrayLike | None = None,
    in_tissue: ArrayLike | None = None,
    region: Sequence[object] | None = None,
) -> AnnData:
    """Make the AnnData of a section.

    Parameters
    ----------
    where
        The file, for messages.
    matrix
        Counts (spots, genes).
    symbols
        Of the genes, in order; the ids themselves if None.
    array
        Array coordinates (row, column), (spots, 2); if None, the pixel centres (y, x) stand in (`CENTERS_AS_ARRAY`).
    in_tissue
        Truth values, (spots,).
    region
        Names, None or NaN where unknown, (spots,).

    Raises
    ------
    DataError
        Values that are not counts, a spot or a gene id given twice.
    """
    import pandas as pd
    from anndata import AnnData

    refuse_duplicates(where, "spot", spots)
    refuse_duplicates(where, "gene", genes)
    centers = np.asarray(centers_px, np.float64)
    row, col = _whole(centers[:, ::-1] if array is None else np.asarray(array, np.float64)).T
    obs = pd.DataFrame(array_columns(row, col), index=pd.Index(spots, dtype=object, name="spot"))
    if in_tissue is not None:
        obs["in_tissue"] = np.asarray(in_tissue).astype(bool)
    if region is not None:
        obs["region"] = pd.Categorical(pd.Series(region, dtype=object).map(str, na_action="ignore"))
    var = pd.DataFrame(
        {"symbol": list(genes if symbols is None else symbols)}, index=pd.Index(genes, dtype=object, name="gene")
    )
    return AnnData(as_counts(matrix, where), obs=obs, var=var, obsm={"spatial": centers})


def _whole(positions: NDArray[np.float64]) -> NDArray[Any]:
    """Integers where all positions are."""
    is_whole = np.isfinite(positions).all() and (positions == np.round(positions)).all()
    return positions.astype(np.int64) if is_whole else positions
