"""Seconds and peak memory of HisToGene predicting thousands of patches in one pass, at its published size.

``python benchmarks/speed/dense_prediction.py --patches 12000``: random weights, a made image; beside it a layer's
attention with and without its matrix of all pairs, on as many patches as ``--pairs`` says.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import torch

from stbench.models import Context
from stbench.slides import Slide, SlideInfo
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource
from stbench_histogene.model import HisToGene
from stbench_histogene.params import HisToGeneParams

GENES, MPP = 785, 76.8 / 112


def main() -> None:
    """Print what a pass took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=12_000)
    parser.add_argument("--pairs", type=int, default=2_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        slide = made_slide(Path(folder), asked.patches)
        model = HisToGene(HisToGeneParams(), Context(0, "cpu", Path(folder), Path(folder)))
        model.measure([slide])
        model.network = model.module(GENES)
        started = time.perf_counter()
        slide.patches(pixels=112, microns=76.8)
        cut = time.perf_counter() - started
        before = peak_gb()
        started = time.perf_counter()
        predicted = model.predict(slide)
        took = time.perf_counter() - started
        print(f"{predicted.shape[0]:,} patches × {predicted.shape[1]} genes, {torch.get_num_threads()} threads")
        print(f"cut and cached in {cut:.1f} s, predicted in {took:.1f} s")
        print(f"peak memory {peak_gb():.2f} GB, {before:.2f} GB before")
        print(f"a layer's attention over {asked.pairs:,} patches: {attention(asked.pairs)}")


def attention(n: int) -> str:
    """Compare one layer's attention with and without its matrix of all pairs."""
    q, k, v = torch.randn(3, 1, 16, n, 64).unbind(0)

    def seconds(run) -> float:
        run()
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    fused = seconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
    pairs = seconds(lambda: (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v)
    return f"fused {fused:.2f} s, with the matrix {pairs:.2f} s and {2 * 16 * n * n * 4 / 2**30:.1f} GB"


def made_slide(folder: Path, n: int) -> Slide:
    """A slide of `n` overlapping patches on noise."""
    from PIL import Image

    side = int(np.ceil(np.sqrt(n)))
    pixels = np.random.default_rng(0).integers(0, 255, (side * 14, side * 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((side * 56 + 112,) * 2).save(folder / "image.png")
    row, col = np.divmod(np.arange(n), side)
    centers = np.column_stack([col, row]) * 56.0 + 84
    obs = array_columns(row * 34 // side, col * 34 // side)
    adata = ad.AnnData(np.zeros((n, 1), np.float32), obs=obs, obsm={"spatial": centers})
    info = SlideInfo(id="made", patient="P", image_id="made", dataset="made", grid="none", mpp=MPP)
    return Slide(adata, info, ImageSource(folder / "image.png", "0" * 64, centers, folder)).without_expression()


def peak_gb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
