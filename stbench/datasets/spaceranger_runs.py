"""Data sets whose sections were published as output of Space Ranger, each in a folder of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile
from stbench.datasets.download import fetch
from stbench.datasets.published import PublishedDataset
from stbench.datasets.unpack import Archive, SingleFile
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo
from stbench.slides.readers.images import images_in
from stbench.slides.readers.spaceranger import read_places, read_spaceranger
from stbench.slides.readers.spaceranger_files import SCALEFACTORS, RunFiles, find_run
from stbench.slides.readers.validate import validate
from stbench.slides.readers.visium import SPOT_UM


@dataclass(frozen=True)
class Sample(ABC):
    """A section as its authors publish it."""

    section: str
    patient: str

    @property
    @abstractmethod
    def name(self) -> str:
        """The sample's name, which those of its files begin with."""

    @property
    @abstractmethod
    def positions(self) -> str:
        """Where its positions belong in its folder, and how they come there."""

    @property
    @abstractmethod
    def needed(self) -> str:
        """Its folder and what belongs into it, in words."""

    @abstractmethod
    def published(self) -> tuple[Archive | SingleFile, ...]:
        """Its files on the site."""

    @property
    def counts(self) -> str:
        """Name of the count matrix."""
        return f"{self.name}_filtered_feature_bc_matrix.h5"

    def find(self, folder: Path) -> Run | None:
        """Look for its folder, named by section or by sample; an empty one is none."""
        named = (folder / self.section, folder / self.name)
        place = next((place for place in named if place.is_dir() and any(place.iterdir())), None)
        return Run(self, place, find_run(place)) if place else None

    def lacks(self, folder: Path) -> list[str]:
        """What of it is missing in the data set's folder."""
        run = self.find(folder)
        if run is None:
            return [self.needed]
        missing = [] if run.files.matrix else [f"{run.folder.name}/{self.counts}"]
        if run.files.positions is None:
            missing.append(f"{run.folder.name}/{self.positions}")
        return missing


@dataclass(frozen=True)
class Run:
    """A sample's files in a folder."""

    sample: Sample
    folder: Path
    files: RunFiles

    @property
    def full_image(self) -> Path | None:
        """The full-resolution image, beside the counts or beside ``outs``."""
        prefixes, names = (f"{self.sample.name}_", ""), ("image", "full_image", "tissue_image")
        stems = [f"{prefix}{name}" for prefix in prefixes for name in names]
        places = dict.fromkeys((self.files.outs, self.folder))
        return next((image for place in places for stem in stems for image in images_in(place, stem)), None)

    def named(self) -> dict[str, Path]:
        """What the section is read from, by names that are the same in every layout."""
        run, image = self.files, self.full_image
        found = {} if image is None else {f"image{image.suffix.lower()}": image}
        if image is None and run.reduced_image:
            found[f"spatial/{run.reduced_image[0].name}"] = run.reduced_image[0]
        if (run.spatial / SCALEFACTORS).is_file():
            found[f"spatial/{SCALEFACTORS}"] = run.spatial / SCALEFACTORS
        if run.positions:
            found[f"spatial/{run.positions.name}"] = run.positions
        if run.matrix:
            files = sorted(run.matrix.iterdir()) if run.matrix.is_dir() else [run.matrix]
            found |= {file.name.removeprefix(f"{self.sample.name}_"): file for file in files}
        return found


class SpaceRangerRuns(PublishedDataset):
    """A data set of samples; 55 µm spots 100 µm apart.

    Each section is a folder, named by section or by sample, that holds Space Ranger's output with or without
    ``outs/`` and with or without the sample's name before the files'. The full-resolution image is taken where it is
    beside the counts (``<sample>_image.tif``, ``image.tif``, ``full_image.tif``, ``tissue_image.tif``), else the hires
    image.

    Attributes
    ----------
    samples, organ
        Class attributes: all there are, and what they are of.
    """

    samples: tuple[Sample, ...]
    organ: str

    def files(self) -> tuple[DataFile, ...]:
        """What the sections are read from."""
        return tuple(
            self._file(f"{section}/{name}", path)
            for section, run in self._runs.items()
            for name, path in run.named().items()
        )

    def slides(self) -> list[SlideInfo]:
        """The sections that are here."""
        return [self._info(run) for run in self._runs.values()]

    def load(self, slide_id: str) -> Slide:
        """Read counts and places of one section."""
        if slide_id not in self._runs:
            raise DataError(f"{self.name} has no section {slide_id!r}; it has {', '.join(self._runs)}")
        run = self._runs[slide_id]
        section = read_spaceranger(run.folder, run.full_image)
        validate(section, slide_id, self.context.cache_dir)
        return section.slide(self._info(run), self.context.cache_dir)

    @property
    def layout(self) -> str:
        """The sections' folders and what is in them."""
        return " and ".join(sample.needed for sample in self.samples)

    def holds(self, folder: Path) -> bool:
        """Whether a section's folder is there."""
        return any(sample.find(folder) for sample in self.samples)

    def lacks(self, folder: Path) -> list[str]:
        """Sections that are missing, and what those that are here need and have not."""
        return [missing for sample in self.samples for missing in sample.lacks(folder)]

    def download(self) -> None:
        """Every section that is not here yet, each on its own."""
        for sample in self.samples:
            missing = sample.lacks(self.downloaded)
            if missing and sample.find(self.downloaded):
                raise DataError(f"{self.name}: {self.downloaded} lacks {', '.join(missing)}; add what is missing")
            if missing:
                where = self.downloaded / sample.section
                fetch(f"{self.name} {sample.section}", sample.published(), where, self.remedy)

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {sample.section: run for sample in self.samples if (run := sample.find(self.folder))}

    def _info(self, run: Run) -> SlideInfo:
        places = read_places(run.folder, run.full_image)
        missing = f"{run.folder} has neither {run.sample.name}_image.tif nor tissue_hires_image.png"
        return SlideInfo(
            id=run.sample.section,
            patient=run.sample.patient,
            image_id=run.sample.section,
            dataset=self.name,
            organ=self.organ,
            species="human",
            technology="Visium",
            spot_um=SPOT_UM,
            grid="hex",
            px_per_published_px=places.factor,
            mpp=places.scale.mpp,
            mpp_source=places.scale.source,
            has_image=places.image is not None,
            image_missing="" if places.image else missing,
        )
