"""Breast tumours on Spatial Transcriptomics arrays (He et al. 2020, the data set of ST-Net), in the published layout.

The address and the names of the files were not verified. They are those of public code that reads version 5 of the
Mendeley record: ``BC23287_C1_stdata.tsv.gz``, ``spots_BT23287_C1.csv.gz``, ``BC23287_C1_Coords.tsv.gz`` and
``HE_BT23287_C1.jpg``, in one folder of a zip archive, BC and BT at will for one patient. Read as well are the names
that ST-Net's own code expects (``BC23287_C1.tsv.gz``, ``.spots.txt``, ``_Coords.tsv``, ``.jpg``), unpacked tables, and
files in subfolders.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile
from stbench.datasets.download import fetch
from stbench.datasets.published import PublishedDataset
from stbench.datasets.unpack import Archive
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.image import open_image
from stbench.slides.readers.array_kind import SPOT_UM, ST_PITCH_UM
from stbench.slides.readers.stnet import read_stnet, read_stnet_spots
from stbench.slides.readers.validate import validate

ARCHIVE = Archive("https://data.mendeley.com/public-api/zip/29ntw7sh4r/download/5")
DEEPEST = 4  # folders: the archive's own, the authors' subtype and patient, and one to spare
EXAMPLES = {
    "counts": "BC23287_C1_stdata.tsv.gz",
    "spots": "spots_BT23287_C1.csv.gz",
    "annotation": "BC23287_C1_Coords.tsv.gz",
    "image": "HE_BT23287_C1.jpg",
}
NAMES = {
    "counts": re.compile(r"B[CT](\d+)_([A-Z]\d+)(?:_stdata)?\.tsv(?:\.gz)?"),
    "spots": re.compile(r"(?:spots_)?B[CT](\d+)_([A-Z]\d+)(?:\.csv|\.spots\.txt)(?:\.gz)?"),
    "annotation": re.compile(r"B[CT](\d+)_([A-Z]\d+)_Coords\.tsv(?:\.gz)?"),
    "image": re.compile(r"(?:HE_)?B[CT](\d+)_([A-Z]\d+)\.(?:jpe?g|png|tiff?)"),
}
TABLES = ("counts", "spots", "annotation")


@dataclass(frozen=True)
class Section:
    """The files of one section."""

    id: str
    counts: Path
    spots: Path
    annotation: Path
    image: Path | None

    @property
    def patient(self) -> str:
        """``BC`` and the number."""
        return self.id.partition("_")[0]


class STNet(PublishedDataset):
    """68 sections of 23 patients; 100 µm spots at a pitch of 200 µm.

    Spots are those that have counts, a place and an annotation, which is their region. µm per pixel comes from the
    array's pitch in each spot file. Genes without a count in a section are not in its table. Where a file is there
    twice, the first by path counts.
    """

    name = "stnet"
    subfolders = ("stnet",)

    def files(self) -> tuple[DataFile, ...]:
        """Tables and images that are here."""
        return tuple(
            self._file(f"{section.id}/{path.name}", path)
            for section in self._sections.values()
            for path in (section.counts, section.spots, section.annotation, section.image)
            if path
        )

    def slides(self) -> list[SlideInfo]:
        """All sections, in the order of their names."""
        return [self._info(section) for section in self._sections.values()]

    def load(self, slide_id: str) -> Slide:
        """Read counts, places and annotation of one section."""
        found = self._sections.get(slide_id)
        if found is None:
            raise DataError(f"stnet has no section {slide_id!r} in {self.folder}")
        root = self.context.cache_dir
        with ThreadPoolExecutor(1) as decoding:  # decoding lets go of the interpreter: both take a second when cold
            if image := found.image:
                decoding.submit(open_image, image, root / "images", cache.sha256(image, root))
            digest = cache.sha256(found.counts, root)
            section = read_stnet(found.counts, found.spots, found.annotation, found.image, root, digest)
        validate(section, slide_id, root)
        return section.slide(self._info(found), root)

    @property
    def source(self) -> str:
        """The published archive."""
        return f"{ARCHIVE.url} (address not verified)"

    @property
    def layout(self) -> str:
        """The files of a section."""
        *others, last = (f"{kind} ({example})" for kind, example in EXAMPLES.items())
        return f"{', '.join(others)} and {last} of each section"

    def holds(self, folder: Path) -> bool:
        """Whether there is any table of it."""
        return any(set(kinds) & set(TABLES) for kinds in _find(folder).values())

    def lacks(self, folder: Path) -> list[str]:
        """Tables that are missing of the sections of which there is one."""
        return [
            f"{kind} of {section} (like {EXAMPLES[kind]})"
            for section, kinds in _find(folder).items()
            if set(kinds) & set(TABLES)
            for kind in TABLES
            if kind not in kinds
        ]

    def download(self) -> None:
        """The whole archive."""
        if self.holds(self.downloaded):
            missing = ", ".join(self.lacks(self.downloaded))
            raise DataError(f"stnet: {self.downloaded} lacks {missing}; add what is missing")
        fetch(self.name, (ARCHIVE,), self.downloaded, self.remedy)

    @cached_property
    def _sections(self) -> dict[str, Section]:
        found = {name: kinds for name, kinds in _find(self.folder).items() if "counts" in kinds}
        if not found:
            raise DataError(f"stnet: {self.folder} holds no section; {self.remedy}")
        return {
            name: Section(name, kinds["counts"], kinds["spots"], kinds["annotation"], kinds.get("image"))
            for name, kinds in sorted(found.items())
        }

    def _info(self, section: Section) -> SlideInfo:
        scale = read_stnet_spots(section.spots).scale(ST_PITCH_UM)
        missing = f"no image of {section.id} (like {EXAMPLES['image']}) in {self.folder}"
        return SlideInfo(
            id=section.id,
            patient=section.patient,
            image_id=section.id,
            dataset=self.name,
            organ="breast",
            species="human",
            technology="ST",
            spot_um=SPOT_UM,
            grid="square",
            mpp=scale.mpp,
            mpp_source=scale.source,
            has_regions=True,
            has_image=section.image is not None,
            image_missing="" if section.image else missing,
        )


def _find(folder: Path) -> dict[str, dict[str, Path]]:
    """Files below a folder by section and kind."""
    found: dict[str, dict[str, Path]] = {}
    for depth in range(DEEPEST + 1):
        for path in sorted(folder.glob("*/" * depth + "*B[CT]*_*.*")):
            for kind, pattern in NAMES.items():
                if match := pattern.fullmatch(path.name):
                    found.setdefault(f"BC{match[1]}_{match[2]}", {}).setdefault(kind, path)
    return found
