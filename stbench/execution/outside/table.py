"""A file of predictions made elsewhere: long Parquet or CSV, read as arrays of codes and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.execution.outside.formats import read_columns

NAMES = ("fold", "slide", "spot", "gene")
STATED = ("dataset", "protocol")
ONE_ONLY = (*STATED, "model", "seed")
"""Columns that a file may have, with one value each."""


@dataclass(frozen=True)
class Names:
    """A column of names: for each row the index of its name."""

    codes: NDArray[np.int32]
    values: list[str]

    def used(self, rows: NDArray[np.int64] | slice = slice(None)) -> list[str]:
        """The different names in some rows, as they are listed in `values`."""
        counts = np.bincount(self.codes[rows], minlength=len(self.values))
        return [self.values[i] for i in np.flatnonzero(counts)]

    def positions(self, rows: NDArray[np.int64], wanted: Sequence[str]) -> NDArray[np.int64]:
        """Position of each row's name in `wanted`, −1 where it is not there."""
        import pandas as pd

        positions = np.asarray(pd.Index(wanted).get_indexer(self.values), np.int64)
        return positions[self.codes[rows]]


@dataclass(frozen=True)
class PredictionTable:
    """Predictions in long form, one row per fold, slide, spot and gene.

    Attributes
    ----------
    y_pred, y_std
        (rows,); a standard deviation that was not given is NaN.
    stated
        Dataset and protocol, where the file has a column that names them.
    """

    path: Path
    fold: Names
    slide: Names
    spot: Names
    gene: Names
    y_pred: NDArray[np.float32]
    y_std: NDArray[np.float32] | None = None
    stated: dict[str, str] = field(default_factory=dict)

    def folds(self) -> list[str]:
        """Folds that have rows."""
        return list(dict.fromkeys(fold for fold, _ in self._groups))

    def slides(self, fold: str) -> list[str]:
        """Slides of a fold that have rows."""
        return [slide for other, slide in self._groups if other == fold]

    def rows(self, fold: str, slide: str) -> NDArray[np.int64]:
        """Row numbers of a slide in a fold."""
        return self._groups.get((fold, slide), np.empty(0, np.int64))

    @cached_property
    def _groups(self) -> dict[tuple[str, str], NDArray[np.int64]]:
        n_slides = len(self.slide.values)
        group = self.fold.codes.astype(np.int64) * n_slides + self.slide.codes
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        pairs = (divmod(int(group[order[start]]), n_slides) for start in starts)
        names = [(self.fold.values[fold], self.slide.values[slide]) for fold, slide in pairs]
        return dict(zip(names, np.split(order, starts[1:]), strict=True))


def read_predictions(path: Path) -> PredictionTable:
    """Read and check a file of predictions.

    Parameters
    ----------
    path
        Parquet or CSV (``.csv``, ``.csv.gz``) with columns fold, slide, spot, gene, y_pred and, if known, y_std.

    Raises
    ------
    DataError
        A file that cannot be read, has no rows, lacks a column, or holds something else than names and finite numbers;
        several models, seeds, datasets or protocols in one file.
    """
    table = read_columns(path, required=(*NAMES, "y_pred"), optional=("y_std", *ONE_ONLY), numbers=("y_pred", "y_std"))
    if not table.num_rows:
        raise DataError(f"{path} has no rows; write one row per fold, slide, spot and gene")
    names = {name: _names(table, name, path) for name in NAMES}
    return PredictionTable(
        path,
        **names,
        y_pred=_predicted(table, names, path),
        y_std=_deviations(table, path) if "y_std" in table.column_names else None,
        stated=_stated(table, path),
    )


def _names(table: pa.Table, name: str, path: Path) -> Names:
    column = table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    convertible = pa.types.is_string_view(kind) or pa.types.is_integer(kind)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or convertible):
        raise DataError(f"{path}: column {name} holds {kind}, not names; write strings")
    if column.null_count:
        raise DataError(f"{path}: {column.null_count:,} of {len(column):,} rows have no {name}; fill or drop them")
    if not pa.types.is_dictionary(column.type):
        column = (column.cast(pa.string()) if convertible else column).dictionary_encode()
    encoded = column.unify_dictionaries().combine_chunks()
    return Names(np.asarray(encoded.indices, np.int32), [str(value) for value in encoded.dictionary.to_pylist()])


def _predicted(table: pa.Table, names: dict[str, Names], path: Path) -> NDArray[np.float32]:
    values = _numbers(table, "y_pred", path)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        first = ", ".join(f"{name} {names[name].values[names[name].codes[bad[0]]]}" for name in NAMES)
        raise DataError(
            f"{path}: {len(bad):,} of {len(values):,} values of y_pred are missing, NaN or infinite "
            f"(the first: {first}); predict finite numbers, or drop these rows (the coverage then says so)"
        )
    return values


def _deviations(table: pa.Table, path: Path) -> NDArray[np.float32]:
    values = _numbers(table, "y_std", path)
    bad = int((np.isinf(values) | (values < 0)).sum())
    if bad:
        raise DataError(
            f"{path}: {bad:,} of {len(values):,} values of y_std are negative or infinite; leave unknown ones empty"
        )
    return values


def _numbers(table: pa.Table, name: str, path: Path) -> NDArray[np.float32]:
    column = table.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{path}: column {name} holds {column.type}, not numbers")
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy(), np.float32)  # nulls are NaN


def _stated(table: pa.Table, path: Path) -> dict[str, str]:
    stated = {}
    for name in ONE_ONLY:
        if name not in table.column_names:
            continue
        values = [str(value) for value in table.column(name).unique().to_pylist()]
        if len(values) > 1:
            raise DataError(
                f"{path} holds {len(values)} {name}s ({few(values)}); "
                "filter it to one model, seed, dataset and protocol"
            )
        if name in STATED:
            (stated[name],) = values
    return stated


def few(names: Sequence[str], shown: int = 3) -> str:
    """The first few names."""
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
