"""Running a recorded cell again, as it was, in a process of its own and a store of its own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from stbench.datasets import DatasetContext
from stbench.datasets.transfer import tested_on, trained_on
from stbench.errors import DataError, UsageError
from stbench.execution.local import run_local
from stbench.execution.prepare import data_of
from stbench.execution.processes import cores
from stbench.execution.task import RunOptions, Task
from stbench.execution.worker import new_run_id
from stbench.matrix import Cell
from stbench.matrix.cell import OUTSIDE
from stbench.matrix.params import content_address
from stbench.registry import Registered, Registry
from stbench.slides.cache_folders import computed
from stbench.store import Layout, RunRecord


def refuse_if_impossible(record: RunRecord, registry: Registry, context: DatasetContext) -> None:
    """Raise if the run cannot be made again here; what needs data or plugins is looked up, nothing is run.

    Raises
    ------
    UsageError
        It was scored from a file, it was interrupted, or a plugin it needs is not installed.
    DataError
        The data, or a file among its parameters, are not what they were.
    """
    cell = record.cell
    if cell.model_distribution == OUTSIDE:
        raise UsageError(
            f"run {record.run_id} was scored from a file of predictions: there is no model to run here. Score the "
            f"file again with `stbench score FILE --as {cell.model}` into another --store, and compare the two"
        )
    if record.status == "interrupted":
        raise UsageError(
            f"run {record.run_id} was interrupted by its user: there is nothing to reproduce; finish it with "
            f"`stbench run -m {cell.model} {_data(cell)} -p {cell.protocol} --folds {cell.fold.id}`"
        )
    _installed(record, registry, "model", cell.model_distribution, cell.model)
    _installed(record, registry, "protocol", cell.protocol_distribution, cell.protocol)
    _installed(record, registry, "dataset", cell.dataset_distribution, trained_on(cell.dataset))
    if cell.test_distribution:
        _installed(record, registry, "dataset", cell.test_distribution, tested_on(cell.dataset))
    dataset = data_of(cell, registry, context)
    if dataset.revision != cell.dataset_revision:
        raise DataError(
            f"the data changed: {cell.dataset} is at revision {dataset.revision}, run {record.run_id} used "
            f"{cell.dataset_revision}; put the files of then back (--data-dir), or run the cell anew with `stbench run`"
        )
    _refuse_changed_files(record)


def _data(cell: Cell) -> str:
    other = f" --test-on {tested_on(cell.dataset)}" if cell.test_distribution else ""
    return f"-d {trained_on(cell.dataset)}{other}"


def run_again(record: RunRecord, options: RunOptions) -> RunRecord:
    """Run the cell of `record` into ``options.store``, keeping predictions if the first run did."""
    kept = frozenset({"predictions"} if "predictions.parquet" in record.files else ())
    compiled = bool(record.environment.get("compile"))
    as_then = {"jobs": 1, "keep": kept, "threads": _threads_of(record), "compile": compiled}
    options = options.model_copy(update=as_then)
    ended: list[RunRecord] = []
    Layout(options.store).create()
    task = Task(cell=record.cell, options=options, run_id=new_run_id())
    run_local([task], options, lambda _: None, lambda _, again: ended.append(again))
    return ended[0]


def device_like(device: str) -> str:
    """The recorded device if this machine has its kind, else ``auto``."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return device
    import torch

    if kind == "cuda" and torch.cuda.is_available():
        return device if int(index or 0) < torch.cuda.device_count() else "cuda:0"
    return device if kind == "mps" and torch.backends.mps.is_available() else "auto"


def without_results(cache_dir: Path, folder: Path) -> Path:
    """Make a cache that shares the data of another one and nothing that was computed from them."""
    (cache_dir / "data").mkdir(parents=True, exist_ok=True)  # downloads outlive the reproduction
    folder.mkdir()
    for path in cache_dir.iterdir():
        if path.is_dir() and path.name not in computed():
            with suppress(OSError):  # Windows may forbid links: these data are found or fetched again
                (folder / path.name).symlink_to(path.resolve(), target_is_directory=True)
    return folder


def _threads_of(record: RunRecord) -> int | None:
    """As many as then: sums are taken in their order. Unless fewer cores are at hand."""
    threads = record.environment.get("threads")
    return threads if threads and threads <= cores() else None


def _installed(record: RunRecord, registry: Registry, kind: str, distribution: str, name: str) -> Registered:
    try:
        return registry.get(kind, f"{distribution}:{name}")
    except UsageError as error:
        version = record.cell.distributions.get(distribution, "")
        raise UsageError(f"{error}; the run used {kind} {name} of {distribution} {version}".rstrip()) from error


def _refuse_changed_files(record: RunRecord) -> None:
    cell = record.cell
    for name, then in cell.params_by_content.items():
        if then == cell.params.get(name):
            continue
        path = Path(cell.params[name])
        try:
            now = content_address(path)
        except OSError as error:
            raise DataError(f"parameter {name}: the file {path} cannot be read ({error.strerror})") from error
        if now != then:
            raise DataError(f"parameter {name}: {path} is not the file that run {record.run_id} used ({then})")
