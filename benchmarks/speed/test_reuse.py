"""What is not done twice: embeddings, patches on the device; and what a command imports before it answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from stbench.models.embeddings import Embedder
from stbench.models.encoders import load_encoder
from stbench.models.patch_batches import PatchBatches
from stbench.slides import Slide
from stbench.slides.patches import cut_patches
from stbench.testing import toy_slides
from stbench.testing.slides import context

SPOTS, PIXELS, MICRONS, BATCH = 400, 64, 100.0, 32
EMBEDDED = "ResNet-18 embeddings of 400 spots, the second model"
EPOCH = "an epoch of 400 patches of 64 px as batches on the device"
HELP = "stbench --help"


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Slide:
    (one,) = toy_slides(tmp_path_factory.mktemp("toy"), patients=1, spots=SPOTS)
    return one


def embedder(slide: Slide, folder) -> Embedder:
    return Embedder(load_encoder("resnet18", "random", folder), pixels=PIXELS, microns=MICRONS, context=context(folder))


@pytest.mark.benchmark(group=EMBEDDED)
def test_embeddings_from_the_cache(benchmark, slide, tmp_path):
    embed = embedder(slide, tmp_path)
    embed(slide)
    benchmark(embed, slide)


@pytest.mark.benchmark(group=EMBEDDED)
def test_embeddings_computed_again(benchmark, slide, tmp_path):
    embed = embedder(slide, tmp_path)
    benchmark.pedantic(embed, (slide.block(slice(0, SPOTS)),), rounds=3)


@pytest.mark.benchmark(group=EPOCH)
def test_batches_from_the_device(benchmark, slide):
    batches = PatchBatches([slide], pixels=PIXELS, microns=MICRONS, batch_size=BATCH, device="cpu")
    assert benchmark(lambda: sum(len(images) for images, _ in batches)) == SPOTS


@pytest.mark.benchmark(group=EPOCH)
def test_batches_cut_from_the_image(benchmark, slide):
    target, side_px = torch.from_numpy(slide.target), MICRONS / slide.mpp

    def epoch() -> int:
        seen = 0
        for rows in np.array_split(np.arange(SPOTS), -(-SPOTS // BATCH)):
            cut = cut_patches(slide.image, slide.centers_px[rows], side_px, PIXELS)
            images, _ = torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 255, target[rows]
            seen += len(images)
        return seen

    assert benchmark.pedantic(epoch, rounds=5) == SPOTS


@pytest.mark.benchmark(group=HELP)
def test_help(benchmark):
    benchmark.pedantic(run, ("-m", "stbench", "--help"), rounds=5)


@pytest.mark.benchmark(group=HELP)
def test_help_of_a_program_that_imports_torch_first(benchmark):
    benchmark.pedantic(run, ("-c", "import torch, stbench.cli.app"), rounds=3)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
