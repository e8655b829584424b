"""What a fit costs at its full size: seconds per epoch, peak memory, and the share of time that is not in GPU kernels.

    python benchmarks/speed/profile_fit.py sepal -d her2st -p sepal-2023-clean --fold B --set weights=random

One fit is timed as it is. A second one, with `--epochs` epochs in every stage and other caches, is recorded by torch's
profiler: the share of its wall time in which no kernel ran on the GPU is what is not arithmetic.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from stbench.datasets import DatasetContext
from stbench.execution.prepare import fit_protocol, load_parts, load_protocol, open_dataset
from stbench.matrix import Cell, ModelRequest, Request, plan
from stbench.matrix.request import parse_presets, parse_settings
from stbench.models import Context
from stbench.registry import discover
from stbench.slides import Slide, cache

EPOCH = re.compile(r"epoch (\d+)/(\d+)")


def main() -> None:
    """Time and record the fit of one cell, and print one JSON line for each."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("model")
    asked.add_argument("-d", "--dataset", default="simulated")
    asked.add_argument("-p", "--protocol")
    asked.add_argument("--fold", default="0")
    asked.add_argument("--set", action="append", default=[], dest="settings")
    asked.add_argument("--preset", action="append", default=[])
    asked.add_argument("--device", default="cuda:0")
    asked.add_argument("--precision", default="float32")
    asked.add_argument("--data-dir", type=Path)
    asked.add_argument("--epochs", type=int, default=4, help="epochs of every stage in the recorded fit")
    options = asked.parse_args()
    context = DatasetContext(cache.root(), options.data_dir)
    request = Request(
        models=(ModelRequest.parse(options.model),),
        datasets=(options.dataset,),
        protocols=(options.protocol,) if options.protocol else (),
        folds=options.fold,
        seeds=(0,),
        settings=parse_settings(options.settings),
        presets=parse_presets(options.preset),
        precision=options.precision,
    )
    (cell,) = plan(request, discover(), context).cells
    train, validation = prepared(cell, context)
    spots = sum(slide.n_spots for slide in train)
    about = {"model": cell.model, "fold": cell.fold.id, "training spots": spots, "precision": options.precision}
    with tempfile.TemporaryDirectory() as work:
        say(about | timed(cell, cell.params, options.device, Path(work), train, validation))
        short = cell.params | {name: options.epochs for name in cell.params if name.endswith("epochs")}
        if options.device.startswith("cuda"):
            say(about | recorded(cell, short, options.device, Path(work), train, validation))


def prepared(cell: Cell, context: DatasetContext) -> tuple[list[Slide], list[Slide]]:
    """Training and validation slides as the model gets them."""
    dataset, protocol = open_dataset(cell, discover(), context), load_protocol(cell, discover())
    parts = load_parts(cell.fold, protocol, dataset, ("train", "validation"))
    fitted = fit_protocol(cell, protocol, dataset, parts.train)
    return [fitted.transform(slide) for slide in parts.train], [fitted.transform(slide) for slide in parts.validation]


def timed(
    cell: Cell, params: dict[str, Any], device: str, work: Path, train: Sequence[Slide], validation: Sequence[Slide]
) -> dict[str, Any]:
    """Seconds in all, per stage and per epoch, and the GPU memory at its peak."""
    lines: list[tuple[float, str]] = []
    if device.startswith("cuda"):
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    fit(cell, params, device, work, train, validation, lines)
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.startswith("cuda") else None
    return {"fit s": round(seconds, 2), "stages": stages(lines), "peak GPU memory GiB": peak and round(peak, 2)}


def stages(lines: Sequence[tuple[float, str]]) -> list[dict[str, float]]:
    """Epochs and median seconds per epoch of every training that `lines` tell of."""
    found: list[list[float]] = []
    for when, line in lines:
        if epoch := EPOCH.match(line):
            if epoch[1] == "1":
                found.append([])
            found[-1].append(when)
    steps = [sorted(b - a for a, b in itertools.pairwise(times)) for times in found]
    return [{"epochs": len(s) + 1, "s per epoch": round(s[len(s) // 2], 4) if s else 0.0} for s in steps]


def recorded(
    cell: Cell, params: dict[str, Any], device: str, work: Path, train: Sequence[Slide], validation: Sequence[Slide]
) -> dict[str, Any]:
    """Share of the wall time of a short fit in which no kernel ran, and the kernels that took longest."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        started = time.perf_counter()
        fit(cell, params, device, work, train, validation, [])
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    kernels = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, until = 0.0, 0.0
    for start, end in kernels:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    longest = sorted(profiler.key_averages(), key=lambda e: -e.self_device_time_total)[:5]
    return {
        "recorded epochs": {name: value for name, value in params.items() if name.endswith("epochs")},
        "recorded s": round(seconds, 2),
        "in kernels s": round(busy / 1e6, 2),
        "not in kernels": round(1 - busy / 1e6 / seconds, 3),
        "longest kernels ms": {e.key[:60]: round(e.self_device_time_total / 1e3, 1) for e in longest},
    }


def fit(
    cell: Cell,
    params: dict[str, Any],
    device: str,
    work: Path,
    train: Sequence[Slide],
    validation: Sequence[Slide],
    lines: list[tuple[float, str]],
) -> None:
    """Fit a new model; `lines` get what it reports, with the time."""
    spec = discover().get("model", f"{cell.model_distribution}:{cell.model}").spec
    context = Context(
        seed=cell.seed,
        device=device,
        precision=cell.precision,
        work_dir=work,
        cache_dir=work / "cache",
        report=lambda line: lines.append((time.perf_counter(), line)),
    )
    spec.load()(spec.load_params().model_validate(params), context).fit(train, validation)


def say(figures: dict[str, Any]) -> None:
    """Print figures as one line."""
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
