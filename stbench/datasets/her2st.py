"""HER2+ breast tumours on Spatial Transcriptomics arrays (Andersson et al. 2021), in the published layout."""

from __future__ import annotations

import csv
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from stbench.datasets.contract import DataFile
from stbench.datasets.download import fetch
from stbench.datasets.published import PublishedDataset
from stbench.datasets.unpack import Archive
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.readers import legacy_st
from stbench.slides.source import ImageSource

PITCH_UM = 200.0
SPOT_UM = 100.0
ARCHIVE = Archive(
    "https://github.com/almaan/her2st/archive/85df741.tar.gz",
    root="*/data",
    parts=("ST-cnts", "ST-spotfiles", "ST-imgs", "ST-pat/lbl"),
)
SECTION = re.compile(r"([A-Z])\d+")


@dataclass(frozen=True)
class Section:
    """The files of one section."""

    id: str
    counts: Path
    spots: Path
    image: Path | None
    labels: Path | None
    scale: float


class Her2st(PublishedDataset):
    """36 sections of 8 patients; 100 µm spots at a pitch of 200 µm.

    Patients were photographed at different resolutions. µm per pixel comes from the array's pitch in each spot
    file. A file ``images.tsv`` (columns section, scale) says where an image is a reduced copy of the published one.
    """

    name = "her2st"
    subfolders = ("her2st", "her2st/data", "data")

    def files(self) -> tuple[DataFile, ...]:
        """Counts, spot files, labels and images that are here."""
        found = [self.folder / "images.tsv"] if (self.folder / "images.tsv").is_file() else []
        for section in self._sections.values():
            found += [p for p in (section.counts, section.spots, section.image, section.labels) if p]
        return tuple(self._file(p.relative_to(self.folder).as_posix(), p) for p in found)

    def slides(self) -> list[SlideInfo]:
        """All sections that have counts and spots, in the order of their names."""
        return [self._info(section, self._spots(section)) for section in self._sections.values()]

    def load(self, slide_id: str) -> Slide:
        """Read counts, coordinates and (where known) regions of one section."""
        section = self._sections.get(slide_id)
        if section is None:
            raise DataError(f"her2st has no section {slide_id!r} in {self.folder}")
        spots = self._spots(section)
        image = self._image_source(section)
        with ThreadPoolExecutor(1) as decoding:  # decoding lets go of the interpreter: both take a second when cold
            if image:
                decoding.submit(lambda: image.image)
            counts = legacy_st.read_counts(section.counts, self.context.cache_dir, self._digest(section.counts))
        labels = legacy_st.read_labels(section.labels) if section.labels else None
        try:
            adata = legacy_st.build(counts, spots, section.scale, labels)
        except DataError as error:
            raise DataError(f"{section.counts} and {section.spots}: {error}") from error
        source = image and image.at(np.asarray(adata.obsm["spatial"]))
        if source:
            _refuse_outside(section, source)
        return Slide(adata, self._info(section, spots), source)

    @property
    def source(self) -> str:
        """The published archive."""
        return f"{ARCHIVE.url} (address not verified)"

    @property
    def layout(self) -> str:
        """The folders of the published repository."""
        return "the published layout (ST-cnts/, ST-spotfiles/, ST-imgs/)"

    def holds(self, folder: Path) -> bool:
        """Whether there are counts."""
        return (folder / "ST-cnts").is_dir()

    def download(self) -> None:
        """The four folders of the archive that are read."""
        fetch(self.name, (ARCHIVE,), self.downloaded, self.remedy)

    @cached_property
    def _sections(self) -> dict[str, Section]:
        scales = _read_scales(self.folder / "images.tsv")
        sections = {}
        for counts in sorted((self.folder / "ST-cnts").glob("*.tsv*")):
            name = counts.name.split(".")[0]
            spots = self.folder / "ST-spotfiles" / f"{name}_selection.tsv"
            if SECTION.fullmatch(name) and spots.is_file():
                labels = self.folder / "ST-pat" / "lbl" / f"{name}_labeled_coordinates.tsv"
                image = self._image_of(name)
                found = labels if labels.is_file() else None
                sections[name] = Section(name, counts, spots, image, found, scales.get(name, 1.0))
        if not sections:
            raise DataError(f"her2st: {self.folder}/ST-cnts holds no section with a spot file in ST-spotfiles/")
        return sections

    def _image_of(self, name: str) -> Path | None:
        folder = self.folder / "ST-imgs" / name[0] / name
        images = sorted(p for p in folder.glob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".tif"})
        return images[0] if images else None

    def _image_source(self, section: Section) -> ImageSource | None:
        """The section's image, with no points on it yet."""
        if section.image is None:
            return None
        return ImageSource(section.image, self._digest(section.image), np.empty((0, 2)), self.context.cache_dir)

    def _spots(self, section: Section) -> legacy_st.SpotTable:
        return legacy_st.read_spots(section.spots)

    def _info(self, section: Section, spots: legacy_st.SpotTable) -> SlideInfo:
        scale = spots.scale(PITCH_UM, section.scale)
        missing = "" if section.image else f"no image in {self.folder}/ST-imgs/{section.id[0]}/{section.id}/"
        return SlideInfo(
            id=section.id,
            patient=section.id[0],
            image_id=section.id,
            dataset=self.name,
            organ="breast",
            species="human",
            technology="ST",
            spot_um=SPOT_UM,
            grid="square",
            px_per_published_px=section.scale,
            mpp=scale.mpp,
            mpp_source=scale.source,
            has_regions=section.labels is not None,
            has_image=section.image is not None,
            image_missing=missing,
        )

    def _digest(self, path: Path) -> str:
        return cache.sha256(path, self.context.cache_dir)


def _read_scales(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return {row["section"]: float(row["scale"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: columns section and scale (a number) are needed ({error})") from error


def _refuse_outside(section: Section, source: ImageSource) -> None:
    width, height = source.image.size
    x, y = source.centers_px.T
    outside = int(((x < 0) | (y < 0) | (x >= width) | (y >= height)).sum())
    if outside:
        raise DataError(
            f"section {section.id}: {outside} of {len(x)} spots lie outside {section.image} ({width} × {height} px); "
            "if the image is a reduced copy, state its scale in images.tsv"
        )
