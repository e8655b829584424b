"""``stbench reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import (
    DEFAULT_STORE,
    DataDirOption,
    Format,
    FormatOption,
    StoreOption,
    parse_device,
    warn_of_broken_plugins,
)

if TYPE_CHECKING:
    from stbench.execution.reproduce import Reproduction


def reproduce(
    run: Annotated[str, typer.Argument(help="Run id or cell key, or the beginning of one.")],
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.0, help="Largest difference that counts as none, over the standard deviation of the values."
        ),
    ] = 1e-4,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:0 or mps; default: that of the run.")] = None,
    use_cache: Annotated[
        bool, typer.Option("--use-cache", help="Reuse cached patches, embeddings and fitted protocols.")
    ] = False,
    keep_store: Annotated[
        Path | None, typer.Option("--keep-store", help="Keep the new run in this store; default: it is discarded.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Time limit of the new run: 90s, 30m, 4h.")] = None,
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run a stored cell again from its record and say how the two compare.

    The verdict is bit-equal, within tolerance, or different; the first stage that differs and what changed in the
    environment are named. Stages: data, code (of the model, dataset and protocol), protocol (the target: spots,
    panel, measured entries, values), predict, score. The run is made in a process of its own with the device and the
    number of threads of then where this machine has them, and recomputes what the cache holds of patches, embeddings
    and fitted protocols. The store is left as it is. A run that failed is reproduced if it fails in the same stage
    with the same kind of error.

    Exit codes: 0 bit-equal, within tolerance or fails alike; 3 different; 1 the run cannot be made again here (the data
    changed, a plugin is missing, it was scored from a file).
    """
    import sys
    import tempfile

    from stbench.datasets import DatasetContext
    from stbench.errors import UsageError
    from stbench.execution.duration import parse_duration
    from stbench.execution.reproduce import StoredRun, compare, refuse_if_impossible, run_again
    from stbench.execution.reproduce.again import device_like, without_results
    from stbench.execution.task import RunOptions
    from stbench.registry import definitions_folder, discover
    from stbench.report.console import print_json
    from stbench.slides import cache
    from stbench.store import Store

    if keep_store is not None and keep_store.resolve() == store.resolve():
        raise UsageError(f"--keep-store {keep_store} is the store of the run; a reproduction is kept in another one")
    asked = parse_device(device) if device else None
    warn_of_broken_plugins()
    registry = discover()
    opened = Store(store)
    folder, record = opened.find(run)
    if record.status == "timeout" and not timeout:
        raise UsageError(f"run {record.run_id} ran out of its time limit; give the limit again: --timeout 4h")
    refuse_if_impossible(record, registry, DatasetContext(cache.root(), data_dir))
    with tempfile.TemporaryDirectory(prefix="stbench-reproduce-") as temporary:
        options = RunOptions(
            store=keep_store or Path(temporary) / "store",
            cache_dir=cache.root() if use_cache else without_results(cache.root(), Path(temporary) / "cache"),
            data_dir=data_dir,
            definitions_dir=definitions_folder(),
            device=asked or device_like(record.device),
            timeout_s=parse_duration(timeout) if timeout else None,
        )
        if output is Format.TABLE:
            anew = "" if use_cache else "; patches and embeddings are computed anew (--use-cache takes those there are)"
            seconds = sum(record.cost.seconds.values())
            print(f"running again: {record.cell}, which took {seconds:.0f} s{anew}", file=sys.stderr)
        again = run_again(record, options)
        kept = Store(options.store)
        second = StoredRun(kept.layout, kept.find(again.run_id)[0], again)
        result = compare(StoredRun(opened.layout, folder, record), second, registry, tolerance)
    if output is Format.JSON:
        print_json(result.to_json() | {"tolerance": tolerance, "kept_in": keep_store and str(keep_store)})
    else:
        _print(result, tolerance)
    raise typer.Exit(3 if result.verdict == "different" else 0)


def _print(result: Reproduction, tolerance: float) -> None:
    from stbench.report.console import print_table

    rows = []
    for stage in result.stages:
        apart = stage.difference
        numbers = (f"{apart.largest:.3g}", f"{apart.relative:.3g}") if apart and apart.n_different else ("", "")
        differ = f"{apart.n_different:,} of {apart.n:,} values differ" if apart and apart.n_different else ""
        rows.append((stage.name, stage.outcome, *numbers, "\n".join(filter(None, (differ, *stage.said)))))
    columns = ["stage", "outcome", "max |Δ|", "of the spread", ""]
    print_table(columns, rows, title=f"{result.cell}, run {result.run_id}", numeric=columns[2:4])
    if result.environment is None:
        print("environment: not recorded for a worker that was killed")
    elif result.environment:
        changes = [(c.what, c.then, c.now) for c in result.environment]
        print_table(["environment", "then", "now"], changes)
    else:
        print("environment: the same")
    first = f"; the first stage that differs is {result.first_difference}" if result.first_difference else ""
    print(f"{result.verdict}{first} (tolerance {tolerance:g} of the spread)")
