"""Cutaneous squamous cell carcinomas on Spatial Transcriptomics arrays (Ji et al. 2020), as GEO publishes them.

The address and the names of the files were not verified. They are those of public code that reads the supplementary
archive of GEO series GSE144240: ``GSM4284316_P2_ST_rep1_stdata.tsv.gz``,
``GSM4284316_spot_data-selection-P2_ST_rep1.tsv.gz`` and ``GSM4284316_P2_ST_rep1.jpg.gz``, in a tar archive that holds
the series' other data too. Read as well are names without ``GSM…_``, unpacked files, and files in subfolders.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile
from stbench.datasets.download import fetch
from stbench.datasets.gene_list import read_gene_list
from stbench.datasets.published import PublishedDataset
from stbench.datasets.unpack import Archive
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.image import open_image
from stbench.slides.readers import legacy_st
from stbench.slides.readers.array_kind import SPOT_UM, st_pitch_um
from stbench.slides.readers.images import unpacked
from stbench.slides.readers.pitch import Scale
from stbench.slides.readers.section import Section
from stbench.slides.readers.validate import validate

ARCHIVE = Archive("https://ftp.ncbi.nlm.nih.gov/geo/series/GSE144nnn/GSE144240/suppl/GSE144240_RAW.tar")
DEEPEST = 3  # folders below the data set's
EXAMPLES = {
    "counts": "P2_ST_rep1_stdata.tsv.gz",
    "spots": "spot_data-selection-P2_ST_rep1.tsv.gz",
    "image": "P2_ST_rep1.jpg",
}
NAMES = {
    "counts": re.compile(r"(?:GSM\d+_)?(P\d+)_ST_rep(\d+)_stdata\.tsv(?:\.gz)?"),
    "spots": re.compile(r"(?:GSM\d+_)?spot_data-selection[-_](P\d+)_ST_rep(\d+)\.tsv(?:\.gz)?"),
    "image": re.compile(r"(?:GSM\d+_)?(P\d+)_ST_rep(\d+)\.(?:jpe?g|png|tiff?)(?:\.gz)?"),
}
TABLES = ("counts", "spots")
PANEL_FILES = ("skin_hvg_cut_1000.npy", "skin_hvg_cut_1000.txt")


@dataclass(frozen=True)
class Files:
    """The files of one section."""

    id: str
    counts: Path
    spots: Path
    image: Path | None

    @property
    def patient(self) -> str:
        """``P`` and the number."""
        return self.id.partition("_")[0]


class CSCC(PublishedDataset):
    """12 sections of 4 patients.

    Spots are those that have counts and are in the spot file, which lists the ones below tissue. µm per pixel comes
    from the array's pitch in each spot file: 200 µm from position to position, or, where every second position is free,
    that of the array of 1,934 spots, 150 µm from a spot to the nearest other. Public code that reads the files finds
    the latter; neither that nor the 100 µm of a spot was verified here.

    The panel that HisToGene's successors predict is a file of theirs, ``skin_hvg_cut_1000.npy``, that is neither in the
    archive nor shipped. It is looked for in the data set's folder and below it, in ``--data-dir`` and in the folder of
    downloads, as is ``skin_hvg_cut_1000.txt`` with one gene a line. Where it is, it belongs to the data set and its
    revision (what ran without it runs anew), and ``adata.uns["panel"]`` of every slide lists its genes; a protocol may
    take its panel from there, as `histogene-2021` does.
    """

    name = "cscc"
    subfolders = ("cscc",)

    def files(self) -> tuple[DataFile, ...]:
        """Tables, images and the panel, as far as they are here."""
        found = [
            self._file(f"{section.id}/{path.name}", path)
            for section in self._sections.values()
            for path in (section.counts, section.spots, section.image)
            if path
        ]
        return (*found, *([self._file(self._panel.name, self._panel)] if self._panel else []))

    def slides(self) -> list[SlideInfo]:
        """All sections, by the numbers of patient and replicate."""
        return [self._info(section, _scale(_read_spots(section))) for section in self._sections.values()]

    def load(self, slide_id: str) -> Slide:
        """Read counts and places of one section."""
        files = self._sections.get(slide_id)
        if files is None:
            raise DataError(f"cscc has no section {slide_id!r} in {self.folder}; it has {', '.join(self._sections)}")
        root = self.context.cache_dir
        spots = _read_spots(files)
        with ThreadPoolExecutor(1) as decoding:  # decoding lets go of the interpreter: both take seconds when cold
            image = unpacked(files.image, root) if files.image else None
            if image:
                decoding.submit(open_image, image, root / "images", cache.sha256(image, root))
            counts = legacy_st.read_counts(files.counts, root, cache.sha256(files.counts, root))
        try:
            adata = legacy_st.build(counts, spots, 1.0, None)
        except DataError as error:
            raise DataError(f"{files.counts} and {files.spots}: {error}") from error
        if self._panel:
            adata.uns["panel"] = read_gene_list(self._panel)
        scale = _scale(spots)
        section = Section(adata, image, scale.mpp, scale.source, SPOT_UM, "circle", "square", "ST")
        validate(section, slide_id, root)
        return section.slide(self._info(files, scale), root)

    @property
    def source(self) -> str:
        """The published archive."""
        return f"{ARCHIVE.url} (address not verified)"

    @property
    def layout(self) -> str:
        """The files of a section."""
        *others, last = (f"{kind} ({example})" for kind, example in EXAMPLES.items())
        return f"{', '.join(others)} and {last} of each section, as GSE144240_RAW.tar holds them"

    def holds(self, folder: Path) -> bool:
        """Whether there is any table of it."""
        return any(set(kinds) & set(TABLES) for kinds in _find(folder).values())

    def lacks(self, folder: Path) -> list[str]:
        """Tables that are missing of the sections of which there is one."""
        return [
            f"{kind} of {section} ({EXAMPLES[kind].replace('P2_ST_rep1', section)})"
            for section, kinds in _find(folder).items()
            if set(kinds) & set(TABLES)
            for kind in TABLES
            if kind not in kinds
        ]

    def download(self) -> None:
        """The whole archive."""
        if self.holds(self.downloaded):
            missing = ", ".join(self.lacks(self.downloaded))
            raise DataError(f"cscc: {self.downloaded} lacks {missing}; add what is missing")
        fetch(self.name, (ARCHIVE,), self.downloaded, self.remedy)

    @cached_property
    def _sections(self) -> dict[str, Files]:
        found = {name: kinds for name, kinds in _find(self.folder).items() if "counts" in kinds}
        if not found:
            raise DataError(f"cscc: {self.folder} holds no section; {self.remedy}")
        return {name: Files(name, kinds["counts"], kinds["spots"], kinds.get("image")) for name, kinds in found.items()}

    @cached_property
    def _panel(self) -> Path | None:
        given = self.context.data_dir
        beside = [folder / name for folder in (given, self.downloaded.parent) if folder for name in PANEL_FILES]
        below = (path for name in PANEL_FILES for path in _below(self.folder, name))
        return next((path for path in (*below, *beside) if path.is_file()), None)

    def _info(self, section: Files, scale: Scale) -> SlideInfo:
        missing = f"no image of {section.id} (like {section.id}.jpg) in {self.folder}"
        return SlideInfo(
            id=section.id,
            patient=section.patient,
            image_id=section.id,
            dataset=self.name,
            organ="skin",
            species="human",
            technology="ST",
            spot_um=SPOT_UM,
            grid="square",
            mpp=scale.mpp,
            mpp_source=scale.source,
            has_image=section.image is not None,
            image_missing="" if section.image else missing,
        )


def _read_spots(section: Files) -> legacy_st.SpotTable:
    return legacy_st.read_spots(section.spots)


def _scale(spots: legacy_st.SpotTable) -> Scale:
    return spots.scale(st_pitch_um(spots.array_xy))


def _below(folder: Path, pattern: str) -> list[Path]:
    """Files that match, the least deep ones first."""
    return [path for depth in range(DEEPEST + 1) for path in sorted(folder.glob("*/" * depth + pattern))]


def _find(folder: Path) -> dict[str, dict[str, Path]]:
    """Files below a folder by section, in the order of their numbers, and kind; of two, the first by path counts."""
    found: dict[tuple[int, int], dict[str, Path]] = {}
    for path in _below(folder, "*P*_ST_rep*"):
        for kind, pattern in NAMES.items():
            if match := pattern.fullmatch(path.name):
                found.setdefault((int(match[1][1:]), int(match[2])), {}).setdefault(kind, path)
    return {f"P{patient}_ST_rep{replicate}": found[patient, replicate] for patient, replicate in sorted(found)}
