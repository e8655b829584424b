"""Running one cell: a call in a notebook, or a command on a cell file in a folder.

``python -m stbench.execution.worker TASK.json`` is all an executor needs.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from stbench.datasets import DatasetContext
from stbench.execution import provenance, scoring
from stbench.execution.prepare import fit_protocol, load_parts, open_dataset
from stbench.execution.task import RunOptions, Task, threads_of
from stbench.matrix import Cell
from stbench.metrics import MetricFunction
from stbench.models import Context, Model, Savable
from stbench.protocols import Protocol
from stbench.registry import MetricSpec, Registered, Registry, discover
from stbench.slides import cache
from stbench.store import Layout, RunRecord, RunWriter, schema
from stbench.store.record import Cost, Failure, Status, TestSlide

KEEP_PREDICTIONS_BELOW = 50_000_000
"""Predicted values of a run above which they are kept only with ``--keep predictions``."""

STAGES = ("load", "protocol", "fit", "predict", "score", "commit")


def new_run_id() -> str:
    """A name that sorts by time and that no other run has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"


def now() -> str:
    """The current time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_cell(cell: Cell, options: RunOptions | None = None, run_id: str | None = None) -> RunRecord:
    """Run a cell in this process and commit it to the store, whether it succeeds or fails.

    Parameters
    ----------
    cell
        From `stbench.matrix.plan`.
    options
        Store, cache, device; by default ``./stbench-store`` and the machine's best device.

    Returns
    -------
    RunRecord
        With status ``ok``, or ``failed``/``oom`` and the traceback.
    """
    options = options or RunOptions(store=Path("stbench-store"), cache_dir=cache.root())
    run_id = run_id or new_run_id()
    writer = RunWriter(Layout(options.store).create(), run_id)
    run = _Run(cell, options, writer)
    record = RunRecord(
        run_id=run_id, cell_key=cell.key, status="ok", cell=cell, started=now(), finished="", device=_device(options)
    )
    try:
        _run(run, record)
        _commit(run, record)
    except Exception as error:  # a plugin may raise anything: it costs this cell only
        record.status = _status(error)
        text = traceback.format_exc()
        record.failure = Failure(stage=run.stage, kind=type(error).__name__, message=str(error), traceback=text)
        writer.clear()
        with suppress(OSError):  # the log, on a full disk
            print(text, file=sys.stderr)
        _commit(run, record)
    return record


def _commit(run: _Run, record: RunRecord) -> None:
    record.finished = now()
    record.cost = _cost(run)
    record.environment = provenance.environment()
    run.writer.commit(record)


@dataclass
class _Run:
    """One attempt under way."""

    cell: Cell
    options: RunOptions
    writer: RunWriter
    stage: str = STAGES[0]
    seconds: dict[str, float] = field(default_factory=dict)
    n_parameters: int | None = None

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note the stage, where a killed worker's parent finds it, and its wall time."""
        self.stage = stage
        work = self.writer.folder / "work"
        work.mkdir(exist_ok=True)
        (work / "stage").write_text(stage)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


def _run(run: _Run, record: RunRecord) -> None:
    cell, options = run.cell, run.options
    registry = discover()
    layout = run.writer.layout
    rules = registry.get("protocol", f"{cell.protocol_distribution}:{cell.protocol}")
    protocol: Protocol = rules.spec.load()
    record.ledger = provenance.ledger(cell, protocol)
    record.badges = provenance.badges(cell, record.ledger)
    metrics = _stored_metrics(registry)
    with run.timed("load"):
        context = DatasetContext(options.cache_dir, options.data_dir)
        parts = load_parts(cell, protocol, registry, context)
    with run.timed("protocol"):
        fitted = fit_protocol(cell, protocol, parts.train, open_dataset(cell, registry, context))
        train = [fitted.transform(slide) for slide in parts.train]
        validation = [fitted.transform(slide) for slide in parts.validation]
        # the model gets slides of its own: what it may do to them does not reach what it is scored on
        held_out = [fitted.transform(slide) for slide in parts.validation]
        test = [fitted.transform(slide) for slide in parts.test]
        record.n_genes = int(train[0].adata.n_vars)
    with run.timed("fit"):
        model = _build(run, registry.get("model", f"{cell.model_distribution}:{cell.model}"))
        model.fit(train, validation)
        run.n_parameters = model.n_parameters
    genes = list(train[0].adata.var_names)
    work = run.writer.folder / "work"
    moments: list[pa.Table] = []
    rows: list[dict[str, object]] = []
    keep = sum(s.n_spots for s in test) * len(genes) < KEEP_PREDICTIONS_BELOW or "predictions" in options.keep
    with run.writer.predictions() as predictions:
        for split, slides in (("validation", held_out), ("test", test)):
            for slide in slides:
                with run.timed("predict"):
                    answer = model.predict(slide.without_expression())
                    predicted = scoring.gather(answer, slide, len(genes), work / f"{split}-{slide.info.id}")
                with run.timed("score"):
                    moments.append(scoring.moments_of(run.writer.run_id, split, slide, predicted))
                    if split == "validation":
                        continue
                    rows += scoring.metric_rows(run.writer.run_id, slide, predicted, metrics)
                    key = scoring.truth_key(cell, fitted, slide)
                    scoring.keep_truth(layout, key, slide)
                    record.test.append(
                        TestSlide(slide=slide.info.id, patient=slide.info.patient, truth_key=key, n_spots=slide.n_spots)
                    )
                    if keep:
                        predictions.add(key, slide.info.id, genes, predicted.mean, predicted.std)
    if not keep:
        (run.writer.folder / "predictions.parquet").unlink()
    with run.timed("commit"):
        run.writer.write("moments", pa.concat_tables(moments))
        run.writer.write("metrics", pa.Table.from_pylist(rows, schema=schema.METRICS))
        if "model" in options.keep:
            _keep_model(run, model)


def _build(run: _Run, registered: Registered) -> Model:  # type: ignore[type-arg]
    spec, cell = registered.spec, run.cell
    seed = cell.seed or 0
    _seed_everything(seed)
    work = run.writer.folder / "work" / "model"
    work.mkdir(parents=True)
    context = Context(
        seed=seed,
        device=_device(run.options),
        work_dir=work,
        cache_dir=run.options.cache_dir,
        precision=cell.precision,  # type: ignore[arg-type]
        report=_say,
    )
    params = spec.load_params().model_validate(cell.params)
    model: Model = spec.load()(params, context)  # type: ignore[type-arg]
    return model


def _stored_metrics(registry: Registry) -> list[tuple[MetricSpec, MetricFunction]]:
    return [(r.spec, r.spec.load()) for r in registry.all("metric") if not r.spec.derived]


def _keep_model(run: _Run, model: object) -> None:
    if not isinstance(model, Savable):
        _say(f"--keep model: {run.cell.model} has no save and load; its weights are not kept")
        return
    folder = run.writer.folder / "model"
    folder.mkdir()
    model.save(folder)


def _seed_everything(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _say(message: str) -> None:
    print(message, flush=True)


def _device(options: RunOptions) -> str:
    if options.device != "auto":
        return options.device
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _status(error: Exception) -> Status:
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "oom" if out_of_memory else "failed"


def _cost(run: _Run) -> Cost:
    torch = sys.modules.get("torch")
    gpu = torch.cuda.max_memory_allocated() / 2**20 if torch and torch.cuda.is_initialized() else None
    seconds = {stage: round(value, 4) for stage, value in run.seconds.items()}
    return Cost(
        seconds=seconds,
        peak_memory_mb=_peak_memory_mb(),
        peak_gpu_memory_mb=gpu,
        n_parameters=run.n_parameters,
    )


def _peak_memory_mb() -> float:
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return float(info.peak_wset / 2**20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (2**20 if sys.platform == "darwin" else 2**10))


def prepare_process(options: RunOptions) -> None:
    """Share the machine's cores among the jobs of a command, and see the datasets that the command saw."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = threads_of(options)
    if options.definitions_dir is not None:
        os.environ["STBENCH_DATASETS"] = str(options.definitions_dir)
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def main() -> None:
    """Run the cell file named on the command line; exit code 3 if the cell failed."""
    task = Task.model_validate_json(Path(sys.argv[1]).read_bytes())
    prepare_process(task.options)
    record = run_cell(task.cell, task.options, task.run_id)
    sys.exit(0 if record.status == "ok" else 3)


if __name__ == "__main__":
    main()
