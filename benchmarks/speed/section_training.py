"""Seconds per epoch of a model that trains on whole sections, split into data and compute.

    python benchmarks/speed/section_training.py histogene --data-dir DATA
    python benchmarks/speed/section_training.py hggep --data-dir DATA --set weights=random --epochs 2

Four sections of her2st (C2 to C5), parameters as published. Beside it what the data of an epoch cost when patches are
cut from the decoded images as 32-bit numbers for every step, which is how the published loaders do it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from stbench.datasets import DatasetContext
from stbench.matrix.request import parse_settings
from stbench.models import Context
from stbench.models.section_model import Section, SectionModel
from stbench.protocols.v1 import STBENCH_V1
from stbench.registry import discover
from stbench.slides import Slide, cache

EPOCHS_OF_DATA = 20


def main() -> None:
    """Print what an epoch takes, and what of it is data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--slides", default="C2,C3,C4,C5")
    parser.add_argument("--epochs", type=int, default=4, help="epochs that are timed, after one that is not")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    asked = parser.parse_args()
    slides = prepared(asked.slides.split(","), asked.data_dir)
    settings = parse_settings(asked.settings)[""] if asked.settings else {}
    with tempfile.TemporaryDirectory() as folder:

        def model(epochs: int) -> SectionModel[Any]:
            spec = discover().get("model", asked.model).spec
            params = spec.load_params().model_validate(settings | {"epochs": epochs, "keep_last_epoch": True})
            return spec.load()(params, Context(0, asked.device, Path(folder), Path(folder), asked.precision))

        fresh = model(1)
        fresh.measure(slides)
        cut = seconds(lambda: [fresh.inputs(slide) for slide in slides])
        one, several = (seconds(lambda n=n: fit(model(n), slides)) for n in (1, 1 + asked.epochs))
        epoch = (several - one) / asked.epochs
        loader = DataLoader([section(fresh, slide) for slide in slides], batch_size=None, shuffle=True)
        data = seconds(lambda: [None for _ in range(EPOCHS_OF_DATA) for _ in loader]) / EPOCHS_OF_DATA
        published = seconds(lambda: [cut_again(slide) for slide in slides])
    spots = sum(slide.n_spots for slide in slides)
    print(
        f"{asked.model}: {len(slides)} sections, {spots} spots, {slides[0].adata.n_vars} genes, {asked.device}, ",
        end="",
    )
    print(f"{torch.get_num_threads()} threads, {asked.precision}")
    print(f"once: {cut:.2f} s to cut and cache the patches")
    print(f"an epoch: {epoch:.2f} s, of which data {data * 1e3:.2f} ms ({data / epoch:.2%})")
    print(f"patches cut again for every step: {published:.2f} s per epoch ({published / epoch:.1%} on top)")


def prepared(names: list[str], data_dir: Path) -> list[Slide]:
    """Sections with the target of stbench-v1."""
    context = DatasetContext(cache.root(), data_dir)
    dataset = discover().get("dataset", "her2st").spec.open(context)
    slides = [STBENCH_V1.filter(dataset.load(name)) for name in names]
    protocol = STBENCH_V1.fit(slides)
    return [protocol.transform(slide) for slide in slides]


def fit(model: SectionModel[Any], slides: list[Slide]) -> None:
    """Train; the weights come back to the CPU, after the last kernel."""
    model.fit(slides, [])


def section(model: SectionModel[Any], slide: Slide) -> Section:
    """What a step is given, on the model's device."""
    device = model.context.device
    inputs, losses = (
        tuple(value.to(device) for value in values) for values in (model.inputs(slide), model.loss_inputs(slide))
    )
    return Section(inputs, torch.tensor(slide.target).to(device), torch.tensor(slide.measured).to(device), losses)


def cut_again(slide: Slide) -> torch.Tensor:
    """Patches of a section out of its decoded image, (spots, 3, 112, 112), as the published loaders give them."""
    pixels = np.asarray(slide.image.read(0, 0, *slide.image.size)).transpose(1, 0, 2)  # (x, y, channel)
    half = round(76.8 / slide.mpp / 2)
    corners = slide.centers_px.astype(int) - half
    patches = [pixels[x : x + 2 * half, y : y + 2 * half].transpose(2, 0, 1) for x, y in corners.clip(0)]
    return torch.stack([torch.as_tensor(np.ascontiguousarray(patch), dtype=torch.float32) for patch in patches])


def seconds(run: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
