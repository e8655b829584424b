"""Sections made of coloured tiles; counts follow the colour."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from stbench.datasets import DataFile, Dataset
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource

SIDE = 8
TILE_PX = 20
GENES = 15


class Tiles(Dataset):
    name = "good-tiles"

    def files(self) -> tuple[DataFile, ...]:
        return tuple(
            DataFile(f"{info.id}.npy", hashlib.sha256(self.colours(info.id).tobytes()).hexdigest())
            for info in self.slides()
        )

    def slides(self) -> list[SlideInfo]:
        return [
            SlideInfo(
                id=f"T{patient}",
                patient=f"patient-{patient}",
                dataset=self.name,
                image_id=f"T{patient}",
                technology="simulated",
                spot_um=20.0,
                grid="square",
                mpp=2.0,
                mpp_source="made so",
            )
            for patient in range(3)
        ]

    def load(self, slide_id: str) -> Slide:
        infos = {info.id: info for info in self.slides()}
        if slide_id not in infos:
            raise DataError(f"{self.name} has no slide {slide_id!r}; it has {', '.join(infos)}")
        colours = self.colours(slide_id)  # (side, side, 3)
        image = self.context.cache_dir / "good-tiles" / f"{slide_id}.png"
        if not image.exists():
            from PIL import Image

            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(colours.repeat(TILE_PX, 0).repeat(TILE_PX, 1)).save(image)
        row, col = np.divmod(np.arange(SIDE * SIDE), SIDE)
        effects = np.random.default_rng(0).normal(0, 1, (3, GENES))
        level = np.exp(2 + colours.reshape(-1, 3) / 255 @ effects)  # (spots, genes)
        counts = np.random.default_rng(int(slide_id[1:])).poisson(level).astype(np.float32)
        genes = pd.Index([f"TILE{i}" for i in range(GENES)])
        adata = AnnData(
            csr_matrix(counts),
            obs=pd.DataFrame(array_columns(row, col), index=[f"{r}x{c}" for r, c in zip(row, col, strict=True)]),
            var=pd.DataFrame({"symbol": genes}, index=genes),
            obsm={"spatial": (np.column_stack([col, row]) + 0.5) * TILE_PX},
        )
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        source = ImageSource(image, digest, adata.obsm["spatial"], self.context.cache_dir)
        return Slide(adata, infos[slide_id], source)

    def colours(self, slide_id: str) -> np.ndarray:
        return np.random.default_rng(100 + int(slide_id[1:])).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
