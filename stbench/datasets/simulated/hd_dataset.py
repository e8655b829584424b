"""`simulated-hd` as a dataset: two patients' sections in bins of 8 and 16 µm, to test what `simulated` trained."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np

from stbench.datasets.contract import DataFile, Dataset
from stbench.datasets.simulated.high_definition import BinBlock, HDSection
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource

GENERATOR_VERSION = "1"
"""Raised when the generator's output changes; the content revision follows the files themselves."""

PATIENTS = (4, 5)  # P5 and P6: those before are of `simulated`
BINS = (8, 16)
MPP = 1.0


class SimulatedHD(Dataset):
    """2 patients, 1 section each in bins of 8 µm (about 18,000) and 16 µm, with the genes of `simulated`."""

    name = "simulated-hd"
    default_protocol = "pixnet-2025-clean"

    def files(self) -> tuple[DataFile, ...]:
        """The grown bins; the checksum is over image and arrays, the same on every machine."""
        return tuple(DataFile(slide_id, self._digest(slide_id)) for slide_id in self._ids)

    def slides(self) -> list[SlideInfo]:
        """Metadata of both sections at both bin sizes."""
        return [
            SlideInfo(
                id=slide_id,
                patient=image_id.split("-")[0],
                image_id=image_id,
                dataset=self.name,
                organ="simulated",
                species="simulated",
                technology="simulated HD",
                spot_um=float(bin_um),
                spot_shape="square",
                grid="square",
                mpp=MPP,
                mpp_source="generator",
                has_regions=True,
            )
            for slide_id, (image_id, bin_um) in self._ids.items()
        ]

    def load(self, slide_id: str) -> Slide:
        """Read one section at one bin size; ``layers["expected"]`` holds the generator's expected counts."""
        from anndata import read_h5ad

        infos = {info.id: info for info in self.slides()}
        if slide_id not in infos:
            raise DataError(f"{self.name} has no slide {slide_id!r}; it has {', '.join(infos)}")
        adata = read_h5ad(self._folder / f"{slide_id}.h5ad")
        image = self._folder / f"{infos[slide_id].image_id}.tif"
        digest = cache.sha256(image, self.context.cache_dir)
        source = ImageSource(image, digest, np.asarray(adata.obsm["spatial"]), self.context.cache_dir)
        return Slide(adata, infos[slide_id], source)

    @property
    def _ids(self) -> dict[str, tuple[str, int]]:
        sections = [f"P{patient + 1}-S1" for patient in PATIENTS]
        return {f"{section}-{bin_um:03d}um": (section, bin_um) for section in sections for bin_um in BINS}

    def _digest(self, slide_id: str) -> str:
        return (self._folder / f"{slide_id}.sha256").read_text()

    @cached_property
    def _folder(self) -> Path:
        from filelock import FileLock

        folder = self.context.cache_dir / self.name / GENERATOR_VERSION
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "grow.lock"):
            for patient in PATIENTS:
                done = [folder / f"P{patient + 1}-S1-{bin_um:03d}um.sha256" for bin_um in BINS]
                if not all(path.is_file() for path in done):
                    _grow(patient, folder, f"P{patient + 1}-S1")
                for path in done:
                    cache.mark_used(path)
        return folder


def _grow(patient: int, folder: Path, image_id: str) -> None:
    """Write image, expression and, last, the checksums that say they are complete.

    Counts are drawn at 8 µm: nobody reads smaller bins, which would take sixteen times as long.
    """
    import tifffile

    section = HDSection(bins=BINS, drawn_um=min(BINS), patient=patient)
    (tile,) = section.tiles()
    blocks = list(section.blocks(tile))
    tifffile.imwrite(folder / f"{image_id}.tif", tile.image, photometric="rgb", tile=(256, 256), metadata=None)
    pixels = tile.image.tobytes()
    digests = {
        f"{image_id}-{bin_um:03d}um": _write(
            folder / f"{image_id}-{bin_um:03d}um.h5ad", bin_um, [each[bin_um] for each in blocks], pixels
        )
        for bin_um in BINS
    }
    for slide_id, digest in digests.items():
        (folder / f"{slide_id}.sha256").write_text(digest)


def _write(path: Path, bin_um: int, blocks: list[BinBlock], pixels: bytes) -> str:
    """Write the bins of one size; returns the checksum over image, counts and places."""
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import vstack

    from stbench.datasets.simulated.expression import GENES
    from stbench.datasets.simulated.hd_run import barcodes

    row, col, region = (np.concatenate([getattr(b, n) for b in blocks]) for n in ("array_row", "array_col", "region"))
    counts = vstack([block.counts for block in blocks], format="csr")
    centers = (np.column_stack([col, row]) + 0.5) * (bin_um / MPP)
    obs = pd.DataFrame(array_columns(row, col), index=pd.Index(barcodes(bin_um, row, col), dtype=object, name="spot"))
    obs["region"] = pd.Categorical(region)
    adata = AnnData(
        counts,
        obs=obs,
        var=pd.DataFrame({"symbol": list(GENES)}, index=pd.Index(GENES, name="gene")),
        obsm={"spatial": centers},
        layers={"expected": np.concatenate([block.expected for block in blocks])},
    )
    adata.write_h5ad(path)
    content = hashlib.sha256(pixels)
    for part, dtype in ((counts.data, "<i4"), (counts.indices, "<i4"), (counts.indptr, "<i4"), (centers, "<f8")):
        content.update(part.astype(dtype).tobytes())
    return content.hexdigest()
