"""Toy datasets: grown once below the cache, expression follows the colour of the image."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from stbench.datasets import DataFile, Dataset
from stbench.slides import Slide, SlideInfo
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource

SPOTS = 40


class Toy(Dataset):
    name = "toy"
    patients = 3
    sections = 1
    n_genes = 15

    def files(self) -> tuple[DataFile, ...]:
        return tuple(DataFile(slide_id, self._digest(slide_id)) for slide_id in self._patients)

    def slides(self) -> list[SlideInfo]:
        return [
            SlideInfo(
                id=slide_id, patient=patient, image_id=slide_id, dataset=self.name, spot_um=55.0, grid="square", mpp=2.0
            )
            for slide_id, patient in self._patients.items()
        ]

    def load(self, slide_id: str) -> Slide:
        import pandas as pd
        from anndata import AnnData
        from scipy.sparse import csr_matrix

        (info,) = (s for s in self.slides() if s.id == slide_id)
        with np.load(self._folder / f"{slide_id}.npz") as saved:
            counts, row, col, centers_px = (saved[name] for name in ("counts", "row", "col", "centers_px"))
        genes = pd.Index([f"ENSG{i:011d}" for i in range(counts.shape[1])])
        adata = AnnData(
            csr_matrix(counts),
            obs=pd.DataFrame(array_columns(row, col), index=[f"{r}x{c}" for r, c in zip(row, col, strict=True)]),
            var=pd.DataFrame({"symbol": genes}, index=genes),
            obsm={"spatial": centers_px},
        )
        (image,) = self._folder.glob(f"{slide_id}-*.tif")
        return Slide(adata, info, ImageSource(image, self._digest(slide_id), centers_px, self.context.cache_dir))

    @property
    def _patients(self) -> dict[str, str]:
        return {f"P{p + 1}-S{s + 1}": f"P{p + 1}" for p in range(self.patients) for s in range(self.sections)}

    def _digest(self, slide_id: str) -> str:
        return hashlib.sha256((self._folder / f"{slide_id}.npz").read_bytes()).hexdigest()

    @cached_property
    def _folder(self) -> Path:
        from filelock import FileLock

        folder = self.context.cache_dir / self.name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "grow.lock"):
            if not (folder / "grown").exists():
                self._grow(folder)
                (folder / "grown").touch()
        return folder

    def _grow(self, folder: Path) -> None:
        from stbench.testing import toy_slides

        for slide in toy_slides(folder, patients=self.patients, sections=self.sections, spots=SPOTS, genes=12):
            row, col = slide.array_positions.astype(int).T
            counts = np.asarray(slide.adata.raw.X)[:, : self.n_genes].astype(np.int32)
            np.savez(folder / f"{slide.info.id}.npz", counts=counts, row=row, col=col, centers_px=slide.centers_px)


class ToySingle(Toy):
    name = "toy-single"
    patients = 1
    sections = 2


class ToyOthers(Toy):
    """Other patients, and squares of 40 µm: a data set to test on."""

    name = "toy-others"
    patients = 5
    n_genes = 12

    def slides(self) -> list[SlideInfo]:
        others = [info for info in super().slides() if info.patient in ("P4", "P5")]
        return [replace(info, spot_um=40.0 if info.patient == "P4" else 80.0, spot_shape="square") for info in others]
