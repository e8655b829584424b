"""Writing a run: everything into staging, ``run.json`` last, then one rename. Concurrent writers need no locks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stbench.errors import StoreError
from stbench.stats import Moments
from stbench.store import schema
from stbench.store.layout import RESCORED, Layout
from stbench.store.owner import sign
from stbench.store.record import RunRecord

VALUES_PER_ROW_GROUP = 1 << 20


class RunWriter:
    """A run's staging folder.

    Parameters
    ----------
    layout
        The store.
    run_id
        Unique name of the run.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """

    def __init__(self, layout: Layout, run_id: str) -> None:
        self.layout = layout
        self.run_id = run_id
        self.folder = layout.staging / run_id
        try:
            self.folder.mkdir(exist_ok=True)  # a store that is gone must not come back below an empty mount point
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be written to {layout.root} ({error})") from error
        sign(self.folder)

    def write(self, name: str, table: pa.Table) -> None:
        """Write one Parquet file of the run."""
        write_parquet(self.folder / f"{name}.parquet", table)

    def predictions(self) -> PredictionWriter:
        """Writer of ``predictions.parquet``."""
        return PredictionWriter(self.folder / "predictions.parquet", self.run_id)

    def points(self) -> PointWriter:
        """Writer of ``points.parquet``."""
        return PointWriter(self.folder / "points.parquet", self.run_id)

    def commit(self, record: RunRecord) -> Path:
        """Make the run visible, all at once; returns its folder.

        Raises
        ------
        StoreError
            If the store cannot be written; nothing is left half-committed.
        """
        cell = record.cell
        final = self.layout.run_folder(cell.dataset, cell.protocol, cell.model, cell.key, self.run_id)
        try:
            shutil.rmtree(self.folder / "work", ignore_errors=True)
            stated = self.folder / "run.json"
            stated.unlink(missing_ok=True)  # of an attempt that found no room
            files = [p for p in sorted(self.folder.rglob("*")) if p.is_file()]
            record.files = {
                p.relative_to(self.folder).as_posix(): p.stat().st_size for p in files if p.name != "log.txt"
            }
            for path in files:
                _sync(path)
            stated.write_text(record.model_dump_json(indent=1) + "\n")
            _sync(stated)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder, final)
            _sync(final.parent)
        except OSError as error:
            raise StoreError(f"run {self.run_id} cannot be committed to {self.layout.root} ({error})") from error
        return final

    def clear(self) -> None:
        """Remove all files but the log: what a failed run had written is of no use, and the disk may be full."""
        for path in [p for p in self.folder.rglob("*") if p.is_file() and p.name != "log.txt"]:
            path.unlink()

    def discard(self) -> None:
        """Remove the staging folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _SlideWriter:
    """Writes values slide by slide, gene-sorted, a few genes per row group, whatever the size of the slide."""

    shape: pa.Schema

    def __init__(self, path: Path) -> None:
        self.writer = pq.ParquetWriter(path, self.shape, **schema.writer_options(self.shape))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.close()

    def _add(self, constants: Mapping[str, str], genes: list[str], n_spots: int, values: Mapping[str, Any]) -> None:
        self.writer.write_table(long_table(self.shape, constants, genes, n_spots, values))


class PointWriter(_SlideWriter):
    """Writes ``points.parquet`` of a run."""

    shape = schema.POINTS

    def __init__(self, path: Path, run_id: str) -> None:
        super().__init__(path)
        self.run_id = run_id

    def add(
        self, slide: str, genes: list[str], centers_px: NDArray[np.float64], side_um: float, mean: NDArray[np.float32]
    ) -> None:
        """Append what was predicted at points of a slide, (points, genes)."""
        constants = {"run_id": self.run_id, "slide": slide}
        for columns, part in gene_groups(mean, genes):
            n = part.shape[1]
            values = {
                "x_px": np.tile(centers_px[:, 0], n).astype(np.float32),
                "y_px": np.tile(centers_px[:, 1], n).astype(np.float32),
                "side_um": np.full(part.size, side_um, np.float32),
                "y_pred": part.ravel(order="F"),
            }
            self._add(constants, genes[columns], len(mean), values)


class PredictionWriter(_SlideWriter):
    """Writes ``predictions.parquet`` of a run."""

    shape = schema.PREDICTIONS

    def __init__(self, path: Path, run_id: str) -> None:
        super().__init__(path)
        self.run_id = run_id

    def add(
        self,
        truth_key: str,
        slide: str,
        genes: list[str],
        mean: NDArray[np.float32],
        std: NDArray[np.float32] | None = None,
        given: NDArray[np.bool_] | None = None,
    ) -> None:
        """Append a slide's predictions, (spots, genes); null where nothing was `given`."""
        constants = {"run_id": self.run_id, "truth_key": truth_key, "slide": slide}
        for columns, part in gene_groups(mean, genes):
            absent = None if given is None else ~given[:, columns].ravel(order="F")
            values = {"y_pred": pa.array(part.ravel(order="F"), mask=absent)}
            if std is not None:
                spread = np.asarray(std[:, columns]).ravel(order="F")
                values["y_std"] = pa.array(spread, mask=np.isnan(spread))
            self._add(constants, genes[columns], len(mean), values)


class TruthWriter(_SlideWriter):
    """Writes ``truth.parquet`` of a slide's target."""

    shape = schema.TRUTH

    def add(
        self, constants: Mapping[str, str], genes: list[str], target: NDArray[np.float32], measured: NDArray[np.bool_]
    ) -> None:
        """Append some genes, (spots, genes)."""
        values = {"y_true": target.ravel(order="F"), "measured": measured.ravel(order="F")}
        self._add(constants, genes, len(target), values)


def gene_groups(matrix: NDArray[Any], genes: list[str]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Columns of (spots, genes) in groups of about a million values."""
    for columns in gene_slices(len(matrix), len(genes)):
        yield columns, np.asarray(matrix[:, columns])


def gene_slices(n_spots: int, n_genes: int) -> Iterator[slice]:
    """Groups of genes that have about a million values together."""
    width = max(1, VALUES_PER_ROW_GROUP // max(1, n_spots))
    for start in range(0, n_genes, width):
        yield slice(start, min(start + width, n_genes))


def long_table(
    shape: pa.Schema, constants: Mapping[str, str], genes: list[str], n_spots: int, values: Mapping[str, Any]
) -> pa.Table:
    """Long rows (gene-major, spots within) of one slide."""
    n = n_spots * len(genes)
    columns: dict[str, Any] = {name: _constant(text, n) for name, text in constants.items()}
    index = pa.array(np.repeat(np.arange(len(genes), dtype=np.int32), n_spots))
    columns["gene"] = pa.DictionaryArray.from_arrays(index, pa.array(genes))
    columns["spot_row"] = np.tile(np.arange(n_spots, dtype=np.int32), len(genes))
    columns |= values
    return pa.Table.from_arrays([_column(columns.get(f.name), f.type, n) for f in shape], schema=shape)


def _column(values: Any, kind: pa.DataType, n: int) -> pa.Array:
    if values is None:
        return pa.nulls(n, kind)
    if isinstance(values, pa.Array):  # `pa.array` would take it apart value by value
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, kind)


def moments_table(
    shape: pa.Schema,
    constants: Mapping[str, str],
    genes: list[str],
    moments: Moments,
    marks: Mapping[str, NDArray[np.bool_]],
) -> pa.Table:
    """Rows of one slide in a table of moments; `marks` need not have ``marker``."""
    columns: dict[str, Any] = {name: _constant(text, len(genes)) for name, text in constants.items()}
    unmarked = {"marker": pa.nulls(len(genes), pa.bool_())}
    columns |= {"gene": pa.array(genes).dictionary_encode()} | vars(moments) | unmarked | dict(marks)
    return pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in shape], schema=shape)


def commit_truth(layout: Layout, truth_key: str, write: Callable[[Path], None]) -> None:
    """Write a slide target once; whoever comes second finds it there.

    Parameters
    ----------
    write
        Writes its files into the empty folder that it is given.
    """
    final = layout.truth_folder(truth_key)
    try:
        os.utime(final)  # `stbench.store.gc` sees that a run under way needs it
        return
    except FileNotFoundError:
        pass
    except OSError:  # it is there, and someone else's
        return
    partial = layout.staging / f"truth-{truth_key}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        partial.mkdir()
        write(partial)
        for path in partial.iterdir():
            _sync(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.rename(partial, final)
    except OSError as error:
        if not final.exists():
            raise StoreError(f"truth {truth_key} cannot be written to {layout.root} ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def add_metric(layout: Layout, folder: Path, metric: str, table: pa.Table) -> Path:
    """Add the rows of a metric to a committed run, all at once; they replace what was added of it before.

    Raises
    ------
    StoreError
        If the store cannot be written; the run is as it was.
    """
    final = folder / RESCORED.format(metric=metric)
    partial = layout.staging / f"{folder.name}-{final.stem}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        layout.staging.mkdir(parents=True, exist_ok=True)
        write_parquet(partial, table)
        _sync(partial)
        os.replace(partial, final)
        _sync(folder)
    except OSError as error:
        raise StoreError(f"{final} cannot be written ({error})") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return final


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table with the store's encodings."""
    pq.write_table(table, path, **schema.writer_options(table.schema))


def _constant(text: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text]))


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
