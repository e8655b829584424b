"""`simulated` as a dataset: grown once, kept in the cache, read like any other."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np

from stbench.datasets.contract import DataFile, Dataset
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource

GENERATOR_VERSION = "1"
"""Raised when the generator's output changes; the content revision follows the files themselves."""

PATIENTS = 4
SECTIONS = 2
SPOT_UM = 55.0
MPP = 1.0


class Simulated(Dataset):
    """4 patients × 2 sections, about 250 spots each on a hexagonal grid of 75 µm pitch, 300 genes."""

    name = "simulated"

    def files(self) -> tuple[DataFile, ...]:
        """The grown sections; the checksum is over their arrays, the same on every machine."""
        return tuple(DataFile(slide_id, self._digest(slide_id)) for slide_id in self._ids)

    def slides(self) -> list[SlideInfo]:
        """Metadata of the eight sections."""
        return [
            SlideInfo(
                id=slide_id,
                patient=slide_id.split("-")[0],
                image_id=slide_id,
                dataset=self.name,
                organ="simulated",
                species="simulated",
                technology="simulated",
                spot_um=SPOT_UM,
                grid="hex",
                mpp=MPP,
                mpp_source="generator",
                has_regions=True,
            )
            for slide_id in self._ids
        ]

    def load(self, slide_id: str) -> Slide:
        """Read one section; ``layers["expected"]`` holds the generator's expected counts."""
        from anndata import read_h5ad

        infos = {info.id: info for info in self.slides()}
        if slide_id not in infos:
            raise DataError(f"simulated has no slide {slide_id!r}; it has {', '.join(infos)}")
        adata = read_h5ad(self._folder / f"{slide_id}.h5ad")
        centers = np.asarray(adata.obsm["spatial"])
        image = self._folder / f"{slide_id}.tif"
        source = ImageSource(image, self._digest(slide_id), centers, self.context.cache_dir)
        return Slide(adata, infos[slide_id], source)

    @property
    def _ids(self) -> dict[str, tuple[int, int]]:
        return {f"P{p + 1}-S{s + 1}": (p, s) for p in range(PATIENTS) for s in range(SECTIONS)}

    def _digest(self, slide_id: str) -> str:
        return (self._folder / f"{slide_id}.sha256").read_text()

    @cached_property
    def _folder(self) -> Path:
        from filelock import FileLock

        folder = self.context.cache_dir / "simulated" / GENERATOR_VERSION
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "grow.lock"):
            for slide_id, (patient, section) in self._ids.items():
                if not (folder / f"{slide_id}.sha256").is_file():
                    _grow(patient, section, folder, slide_id)
                cache.mark_used(folder / f"{slide_id}.sha256")
        return folder


def _grow(patient: int, section: int, folder: Path, slide_id: str) -> None:
    """Write image, expression and, last, the checksum that says they are complete."""
    import pandas as pd
    import tifffile
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from stbench.datasets.simulated.expression import GENES, measure_expression
    from stbench.datasets.simulated.tissue import grow_tissue

    tissue = grow_tissue(patient, section)
    measured = measure_expression(tissue, patient, section)
    names = pd.Index([f"{r}x{c}" for r, c in zip(tissue.array_row, tissue.array_col, strict=True)], name="spot")
    obs = pd.DataFrame(array_columns(tissue.array_row, tissue.array_col), index=names)
    obs["region"] = pd.Categorical(tissue.region)
    var = pd.DataFrame({"symbol": list(GENES)}, index=pd.Index(GENES, name="gene"))
    adata = AnnData(
        csr_matrix(measured.counts.astype(np.int32)),
        obs=obs,
        var=var,
        obsm={"spatial": tissue.centers_px},
        layers={"expected": measured.expected.astype(np.float32)},
    )
    tifffile.imwrite(folder / f"{slide_id}.tif", tissue.image, photometric="rgb", metadata=None)
    adata.write_h5ad(folder / f"{slide_id}.h5ad")
    content = hashlib.sha256(tissue.image.tobytes())
    content.update(measured.counts.astype("<i4").tobytes() + tissue.centers_px.astype("<f8").tobytes())
    (folder / f"{slide_id}.sha256").write_text(content.hexdigest())
