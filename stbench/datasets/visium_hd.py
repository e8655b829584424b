"""10x Genomics' Visium HD sections of a human breast cancer and of a mouse brain, as Space Ranger 3 wrote them.

Addresses and names are those of other people's scripts and were not verified. Which two sections of each PixNet's paper
took is not said: those beyond the one that is downloaded are read where they are put beside it, each in a folder of
its own.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile
from stbench.datasets.download import fetch
from stbench.datasets.published import PublishedDataset
from stbench.datasets.unpack import Archive, SingleFile
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo
from stbench.slides.readers.spaceranger_files import find_run
from stbench.slides.readers.validate import validate
from stbench.slides.readers.visium_hd import BINNED, Scale, bin_folders, full_image, read_bins, read_scale

SITE = "https://cf.10xgenomics.com/samples/spatial-exp"  # not verified; neither are the names below it


class VisiumHD(PublishedDataset):
    """Sections of one donor; each bin size of a section is a slide, and they share an image.

    A section is a folder, named by it, that holds ``binned_outputs/`` (with or without ``outs/``) and the
    full-resolution image; without the image, the reduced one of each bin size is taken.

    Attributes
    ----------
    sample, version
        Class attributes: what 10x Genomics calls the section that can be downloaded, and Space Ranger's version.
    organ, species, patient
        Class attributes.
    """

    default_protocol = "stbench-blocks-v1"
    sample: str
    version: str
    organ: str
    species: str
    patient: str

    def files(self) -> tuple[DataFile, ...]:
        """What the slides are read from, and the images."""
        found = {}
        for section, folder in self._sections.items():
            if image := full_image(folder):
                found[f"{section}/{image.name}"] = image
            for bins in bin_folders(folder).values():
                files = [path for path in find_run(bins).every_file() if path.is_file()]
                found |= {f"{section}/{path.relative_to(bins.parent).as_posix()}": path for path in files}
        return tuple(self._file(name, path) for name, path in found.items())

    def slides(self) -> list[SlideInfo]:
        """The bin sizes of the sections that are here."""
        return [self._info(slide_id) for slide_id in self._bins]

    def load(self, slide_id: str) -> Slide:
        """Read the bins of one size of a section."""
        if slide_id not in self._bins:
            raise DataError(f"{self.name} has no slide {slide_id!r}; it has {', '.join(self._bins)}")
        _, bins = self._bins[slide_id]
        section = read_bins(bins, full_image(bins), self.context.cache_dir)
        validate(section, slide_id, self.context.cache_dir)
        return section.slide(self._info(slide_id), self.context.cache_dir)

    @property
    def source(self) -> str:
        """10x Genomics' site."""
        return f"{SITE}/ (addresses not verified)"

    @property
    def layout(self) -> str:
        """Folders of sections and what is in them."""
        return (
            f"{self.sample}/ with {BINNED}/ (unpacked from {self.sample}_{BINNED}.tar.gz) and its full-resolution image"
        )

    def holds(self, folder: Path) -> bool:
        """Whether the folder of a section is there."""
        return bool(_sections_in(folder))

    def download(self) -> None:
        """The section that is known by name."""
        where = f"{SITE}/{self.version}/{self.sample}/{self.sample}"
        published = (Archive(f"{where}_{BINNED}.tar.gz", parts=(BINNED,)), SingleFile(f"{where}_tissue_image.tif"))
        fetch(f"{self.name} {self.sample}", published, self.downloaded / self.sample, self.remedy)

    @cached_property
    def _sections(self) -> dict[str, Path]:
        return _sections_in(self.folder)

    @cached_property
    def _bins(self) -> dict[str, tuple[str, Path]]:
        """Section and folder of each slide."""
        return {
            f"{section}-{um:03d}um": (section, bins)
            for section, folder in self._sections.items()
            for um, bins in bin_folders(folder).items()
        }

    def _info(self, slide_id: str) -> SlideInfo:
        section, bins = self._bins[slide_id]
        scale: Scale = read_scale(bins, full_image(bins))
        return SlideInfo(
            id=slide_id,
            patient=self.patient,
            image_id=section,
            dataset=self.name,
            organ=self.organ,
            species=self.species,
            technology="Visium HD",
            spot_um=scale.bin_um,
            spot_shape="square",
            grid="square",
            mpp=scale.mpp,
            mpp_source=scale.source,
            px_per_published_px=scale.factor,
            has_image=scale.image is not None,
            image_missing="" if scale.image else f"{bins} has no reduced image, and there is no full-resolution one",
        )


class VisiumHDBreast(VisiumHD):
    """Human breast cancer."""

    name = "visium-hd-breast"
    subfolders = ("visium-hd-breast",)
    sample, version = "Visium_HD_Human_Breast_Cancer_Fresh_Frozen", "3.1.1"
    organ, species, patient = "breast", "human", "10x-breast"


class VisiumHDBrain(VisiumHD):
    """Mouse brain; PixNet's paper calls it brain cancer."""

    name = "visium-hd-brain"
    subfolders = ("visium-hd-brain",)
    sample, version = "Visium_HD_Mouse_Brain", "3.0.0"
    organ, species, patient = "brain", "mouse", "10x-mouse-brain"


def _sections_in(folder: Path) -> dict[str, Path]:
    """Folders of sections, by name."""
    children = sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
    return {child.name: child for child in children if bin_folders(child) and child.name not in (BINNED, "outs")}
