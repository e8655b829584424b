"""Running one cell: a call in a notebook, or a command on a cell file in a folder.

``python -m stbench.execution.worker TASK.json`` is all an executor needs.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from stbench.datasets import DatasetContext
from stbench.execution import provenance, scoring
from stbench.execution.predicted import Predicted
from stbench.execution.predictor import Predictor, TrainedHere
from stbench.execution.prepare import fit_protocol, load_parts, load_protocol, open_dataset
from stbench.execution.task import RunOptions, Task, threads_of
from stbench.execution.truth import keep_truth, truth_key
from stbench.matrix import Cell
from stbench.protocols import FittedProtocol
from stbench.registry import discover
from stbench.slides import Slide, cache
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


def run_cell(
    cell: Cell,
    options: RunOptions | None = None,
    run_id: str | None = None,
    predictor: Predictor | None = None,
    shares_fit: bool = False,
) -> RunRecord:
    """Run a cell in this process and commit it to the store, whether it succeeds or fails.

    Parameters
    ----------
    cell
        From `stbench.matrix.plan`.
    options
        Store, cache, device; by default ``./stbench-store`` and the machine's best device.
    predictor
        Who predicts; by default the cell's model, which is trained here.
    shares_fit
        Leave the fitted model for a cell that differs in predict-stage parameters only, or take it from one.

    Returns
    -------
    RunRecord
        With status ``ok``, or ``failed``/``oom`` and the traceback.
    """
    options = options or RunOptions(store=Path("stbench-store"), cache_dir=cache.root())
    run_id = run_id or new_run_id()
    writer = RunWriter(Layout(options.store).create(), run_id)
    run = _Run(cell, options, writer, predictor or TrainedHere(cell, options, writer.folder / "work", shares_fit))
    record = RunRecord(
        run_id=run_id,
        cell_key=cell.key,
        status="ok",
        cell=cell,
        started=now(),
        finished="",
        card=run.predictor.card,
        device=run.predictor.device,
    )
    try:
        _run(run, record)
        _commit(run, record)
    except Exception as error:  # a plugin may raise anything: it costs this cell only
        record.status = _status(error)
        text = traceback.format_exc()
        traceback.clear_frames(error.__traceback__)  # where memory is short, recording that needs what the model held
        record.failure = Failure(stage=run.stage, kind=type(error).__name__, message=str(error), traceback=text)
        writer.clear()
        with suppress(OSError):  # the log, on a full disk
            print(text, file=sys.stderr)
        _commit(run, record)
    return record


def _commit(run: _Run, record: RunRecord) -> None:
    record.finished = now()
    record.cost = run.predictor.cost(_cost(run))
    record.environment = provenance.environment() | {"compile": run.options.compile}
    run.writer.commit(record)


@dataclass
class _Run:
    """One attempt under way."""

    cell: Cell
    options: RunOptions
    writer: RunWriter
    predictor: Predictor
    stage: str = STAGES[0]
    seconds: dict[str, float] = field(default_factory=dict)

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
    cell, predictor = run.cell, run.predictor
    registry = discover()
    protocol = load_protocol(cell, registry)
    record.ledger = provenance.ledger(cell, protocol)
    record.badges = provenance.badges(cell, record.ledger)
    metrics = scoring.stored_metrics(registry)
    with run.timed("load"):
        dataset = open_dataset(cell, registry, DatasetContext(run.options.cache_dir, run.options.data_dir))
        parts = load_parts(cell.fold, protocol, dataset, predictor.roles)
    with run.timed("protocol"):
        fitted = fit_protocol(cell, protocol, dataset, parts.train)
        train = [fitted.transform(slide) for slide in parts.train]
        validation = [fitted.transform(slide) for slide in parts.validation]
        # the model gets slides of its own: what it may do to them does not reach what it is scored on
        held_out = [("validation", _ready(slide, fitted)) for slide in parts.validation]
        held_out += [("test", _ready(slide, fitted)) for slide in parts.test]
        del parts
    with run.timed("fit"):
        predictor.fit(train, validation)
    del train, validation
    _score(run, record, fitted, held_out, metrics)


def _ready(slide: Slide, fitted: FittedProtocol) -> Slide:
    """Prepare a held-out slide before training, so that what is wrong with it is known; a large one waits its turn."""
    return slide if slide.is_large else fitted.transform(slide)


def _prepared(run: _Run, fitted: FittedProtocol, held_out: list[tuple[str, Slide]]) -> tuple[str, Slide]:
    """Take the next slide; its counts are forgotten as soon as a step has made others of them."""
    split, slide = held_out[0]
    if not slide.is_large:
        return held_out.pop(0)
    del slide
    with run.timed("protocol"):
        return split, fitted.transform(held_out.pop(0)[1])


def _score(
    run: _Run,
    record: RunRecord,
    fitted: FittedProtocol,
    held_out: list[tuple[str, Slide]],
    metrics: list[scoring.StoredMetric],
) -> None:
    """Predict and score slide by slide, and write the run's tables."""
    run_id, asked = run.writer.run_id, run.options.keep
    moments: list[pa.Table] = []
    rows: list[dict[str, object]] = []
    n_points, n_tested = 0, sum(slide.n_spots for split, slide in held_out if split == "test")
    keep = "predictions" in asked
    with run.writer.predictions() as predictions, run.writer.points() as points:
        while held_out:
            split, slide = _prepared(run, fitted, held_out)
            record.n_genes = int(slide.adata.n_vars)
            keep = keep or n_tested * record.n_genes < KEEP_PREDICTIONS_BELOW
            with run.timed("predict"):
                predicted = run.predictor.predict(slide)
            with run.timed("score"):
                moments.append(scoring.moments_of(run_id, split, slide, predicted))
                if split == "validation":
                    continue
                rows += scoring.metric_rows(run_id, slide, predicted, metrics)
                predicted.forget()
            with run.timed("commit"):
                key = truth_key(run.cell, fitted, slide)
                keep_truth(run.writer.layout, key, slide)
                record.test.append(_tested(slide, key, predicted))
                if keep:
                    genes = list(slide.adata.var_names)
                    predictions.add(key, slide.info.id, genes, predicted.mean, predicted.std, predicted.given)
                    if fine := run.predictor.points(slide):
                        n_points += len(fine.mean)
                        points.add(slide.info.id, genes, fine.centers_px, fine.side_um, fine.mean)
    if not keep:
        (run.writer.folder / "predictions.parquet").unlink()
    if not n_points:
        (run.writer.folder / "points.parquet").unlink()
    with run.timed("commit"):
        run.writer.write("moments", pa.concat_tables(moments))
        run.writer.write("metrics", pa.Table.from_pylist(rows, schema=schema.METRICS))
        if "model" in asked:
            run.predictor.save(run.writer.folder / "model")


def _tested(slide: Slide, key: str, predicted: Predicted) -> TestSlide:
    return TestSlide(
        slide=slide.info.id,
        patient=slide.info.patient,
        truth_key=key,
        n_spots=slide.n_spots,
        coverage=predicted.coverage(slide),
    )


def _status(error: Exception) -> Status:
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "oom" if out_of_memory else "failed"


def _cost(run: _Run) -> Cost:
    torch = sys.modules.get("torch")
    gpu = torch.cuda.max_memory_allocated() / 2**20 if torch and torch.cuda.is_initialized() else None
    seconds = {stage: round(value, 4) for stage, value in run.seconds.items()}
    return Cost(seconds=seconds, peak_memory_mb=_peak_memory_mb(), peak_gpu_memory_mb=gpu)


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
    record = run_cell(task.cell, task.options, task.run_id, shares_fit=task.shares_fit)
    sys.exit(0 if record.status == "ok" else 3)


if __name__ == "__main__":
    main()
