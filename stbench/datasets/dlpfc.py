"""Human dorsolateral prefrontal cortex on Visium (Maynard et al. 2021, spatialLIBD): 12 sections of 3 donors.

Neither addresses nor names of the files were verified. Matrices and full-resolution images are on the authors' site;
positions, scale factors and the layers that they drew in their repository HumanPilot.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile
from stbench.datasets.download import SOURCE, fetch
from stbench.datasets.spaceranger_runs import Run, Sample, SpaceRangerRuns
from stbench.datasets.unpack import SingleFile
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo
from stbench.slides.readers.spaceranger_files import SCALEFACTORS
from stbench.slides.slide import LABELS

SITE = "https://spatial-dlpfc.s3.us-east-2.amazonaws.com"
REPOSITORY = "https://raw.githubusercontent.com/LieberInstitute/HumanPilot/master"
POSITIONS = "tissue_positions_list.txt"
LAYERS = "barcode_level_layer_map.tsv"
DONORS = {"Br5292": range(151507, 151511), "Br5595": range(151669, 151673), "Br8100": range(151673, 151677)}


class Cortex(Sample):
    """A section as spatialLIBD publishes it."""

    @property
    def name(self) -> str:
        """The section's number."""
        return self.section

    @property
    def image(self) -> str:
        """Name of the full-resolution image."""
        return f"{self.section}_full_image.tif"

    @property
    def positions(self) -> str:
        """Beside the counts."""
        return POSITIONS

    @property
    def needed(self) -> str:
        """Counts, positions, scale factors and image."""
        return f"{self.section}/ with {self.counts}, {POSITIONS}, {SCALEFACTORS} and {self.image}"

    def published(self) -> tuple[SingleFile, ...]:
        """Its files on the site and in the repository."""
        beside = f"{REPOSITORY}/10X/{self.section}"
        return (
            SingleFile(f"{SITE}/h5/{self.counts}"),
            SingleFile(f"{beside}/{POSITIONS}"),
            SingleFile(f"{beside}/{SCALEFACTORS}"),
            SingleFile(f"{SITE}/images/{self.image}"),
        )


class DLPFC(SpaceRangerRuns):
    """12 sections of 3 donors, four of each: two pairs of neighbours; with the layers that the authors drew.

    A data set of some of the sections is read as it is. The layers of spots are looked for in
    ``barcode_level_layer_map.tsv`` (barcode, section and layer, tab-separated) beside the sections' folders; without
    it no section has regions.
    """

    name = "dlpfc"
    subfolders = ("dlpfc",)
    samples = tuple(Cortex(str(number), donor) for donor, numbers in DONORS.items() for number in numbers)
    organ = "brain"

    def files(self) -> tuple[DataFile, ...]:
        """What the sections are read from, and the layers."""
        layers = _layers_in(self.folder)
        return (*super().files(), *((self._file(LAYERS, layers),) if layers else ()))

    def load(self, slide_id: str) -> Slide:
        """Read counts, places and layers of one section."""
        import pandas as pd

        slide = super().load(slide_id)
        if layers := self._layers.get(slide_id):
            slide.adata.obs[LABELS] = pd.Categorical([layers.get(spot) for spot in slide.adata.obs_names])
        return slide

    @property
    def source(self) -> str:
        """The authors' site."""
        return f"{SITE}/ (addresses not verified)"

    @property
    def layout(self) -> str:
        """A section's folder, for all."""
        first, *_, last = self.samples
        return f"{first.needed}, and so on to {last.section}/; {LAYERS} beside them"

    def lacks(self, folder: Path) -> list[str]:
        """What sections that are here need and have not, and what a download that was cut off had yet to fetch."""
        here = [sample for sample in self.samples if sample.find(folder)]
        begun = any((folder / sample.section / SOURCE).is_file() for sample in here)
        missing = [what for sample in (self.samples if begun else here) for what in sample.lacks(folder)]
        return [*missing, LAYERS] if begun and _layers_in(folder) is None else missing

    def download(self) -> None:
        """Every section, and the layers."""
        super().download()
        if _layers_in(self.downloaded) is None:
            layers = SingleFile(f"{REPOSITORY}/10X/{LAYERS}")
            fetch(f"{self.name} {LAYERS}", (layers,), self.downloaded / "layers", self.remedy)

    @cached_property
    def _layers(self) -> dict[str, dict[str, str]]:
        """Layer of each spot, by section."""
        path = _layers_in(self.folder)
        if path is None:
            return {}
        found: dict[str, dict[str, str]] = {}
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t"), start=1):
                if len(row) < 3:
                    raise DataError(f"{path}, line {number}: barcode, section and layer are needed, tab-separated")
                barcode, section, layer = row[:3]
                if layer and layer != "NA":
                    found.setdefault(section, {})[barcode] = layer
        return found

    def _info(self, run: Run) -> SlideInfo:
        return replace(super()._info(run), has_regions=run.sample.section in self._layers)


def _layers_in(folder: Path) -> Path | None:
    """The table of layers beside the sections, put there or downloaded."""
    return next((path for path in (folder / LAYERS, folder / "layers" / LAYERS) if path.is_file()), None)
