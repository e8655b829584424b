"""What a model said of a section away from its spots, read back from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stbench.report.sections import Part


@dataclass(frozen=True)
class FineMap:
    """Values of some genes at points of a section, in squares that the spots' pitch does not bound.

    Attributes
    ----------
    centers_px
        Pixel centres (x, y), (points, 2).
    side_um
        Side of the square that a value is of.
    values
        (points,) by gene, in the protocol's units; NaN where the fold's panel lacks the gene.
    """

    centers_px: NDArray[np.float64]
    side_um: float
    values: dict[str, NDArray[np.float32]]


def fine_map(parts: Sequence[Part], variant: str, genes: Sequence[str]) -> FineMap | None:
    """Read what a variant said of a section's `genes` away from the spots; None if it said nothing.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If a file is damaged.
    """
    found = [table for part in parts if (table := _points_of(part, variant, genes)) is not None]
    if not found:
        return None
    centers, values = [], []
    for table in found:
        by_gene = {gene: table.filter(pc.equal(table["gene"], gene)) for gene in genes}
        first = next(rows for rows in by_gene.values() if rows.num_rows)
        centers.append(np.column_stack([first["x_px"], first["y_px"]]).astype(np.float64))
        absent = np.full(first.num_rows, np.nan, np.float32)
        values.append([rows["y_pred"].to_numpy() if rows.num_rows else absent for rows in by_gene.values()])
    joined = [np.concatenate(columns) for columns in zip(*values, strict=True)]
    side_um = float(found[0]["side_um"][0].as_py())
    return FineMap(np.concatenate(centers), side_um, dict(zip(genes, joined, strict=True)))


def _points_of(part: Part, variant: str, genes: Sequence[str]) -> pa.Table | None:
    path = part.folders[variant] / "points.parquet" if variant in part.folders else None
    if path is None or not path.exists():
        return None
    columns = ["gene", "x_px", "y_px", "side_um", "y_pred"]
    table = pq.read_table(path, columns=columns, filters=[("slide", "=", part.test.slide), ("gene", "in", list(genes))])
    return table if table.num_rows else None
