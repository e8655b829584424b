"""`stbench data import`: recognise a lab's folder, validate every slide, and describe it as a dataset."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from stbench.datasets.definition import Definition, Layout, SlideDefinition
from stbench.datasets.imported import read_section
from stbench.errors import DataError, UsageError
from stbench.registry import NAME_PATTERN
from stbench.slides.image import open_image
from stbench.slides.readers.plain import find_plain
from stbench.slides.readers.section import Section
from stbench.slides.readers.spaceranger import is_spaceranger
from stbench.slides.readers.validate import TOLERATED_DISAGREEMENT, validate
from stbench.slides.readers.visium_hd import bin_folders, full_image, run_folder
from stbench.slides.slide import LABELS

TABLE = "slides.csv"
COLUMNS = ("slide", "patient", "organ", "species", "technology", "mpp", "image")
PER_DATASET = "stbench-v1", "stbench-section-v1", "stbench-blocks-v1"


@dataclass(frozen=True)
class Stated:
    """What the user says of a slide, by flags or in a slides.csv; empty where the files must say it."""

    patient: str = ""
    organ: str = ""
    species: str = ""
    technology: str = ""
    mpp: float | None = None
    image: Path | None = None
    swap_xy: bool = False


@dataclass(frozen=True)
class Found:
    """A slide's files, by layout."""

    id: str
    layout: Layout
    path: Path
    coordinates: Path | None = None
    image: Path | None = None
    image_id: str = ""


@dataclass
class Understood:
    """A slide as it was read: its definition, its section and what there is to say about it."""

    definition: SlideDefinition
    section: Section
    notes: list[str] = field(default_factory=list)


def understand(folder: Path, name: str, flags: Stated, cache_dir: Path) -> tuple[Definition, list[Understood]]:
    """Recognise and validate the slides below a folder (or the one h5ad file).

    Raises
    ------
    UsageError
        A name that cannot be a dataset's; one image for several slides.
    DataError
        Nothing recognised, two slides of one name, or a slide that does not pass validation.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"--as {name!r}: a dataset's name has lower-case letters, digits and hyphens only")
    if not folder.exists():
        raise DataError(f"{folder} does not exist")
    found = list(recognise(folder.resolve()))
    if not found:
        raise DataError(
            f"{folder} holds no layout stbench knows: Space Ranger output (spatial/ beside a count matrix), .h5ad "
            "files, or a count table with a coordinate table; or one folder of these per slide. The published HER2+ "
            "layout (ST-cnts/) needs no import: -d her2st --data-dir"
        )
    _refuse_ambiguous(found, flags)
    stated = _table(folder.resolve() / TABLE, {slide.id for slide in found}) if folder.is_dir() else {}
    slides = [_understand(slide, name, stated.get(slide.id, {}), flags, cache_dir) for slide in found]
    patients = {slide.definition.patient for slide in slides}
    sections = {slide.definition.image_id or slide.definition.id for slide in slides}
    protocol = PER_DATASET[0 if len(patients) > 1 else 1 if len(sections) > 1 else 2]
    return Definition(name=name, default_protocol=protocol, slides=tuple(s.definition for s in slides)), slides


def _refuse_ambiguous(found: list[Found], flags: Stated) -> None:
    twice = sorted({slide.id for slide in found if sum(other.id == slide.id for other in found) > 1})
    if twice:
        places = ", ".join(str(slide.path) for slide in found if slide.id == twice[0])
        raise DataError(f"two slides are named {twice[0]} ({places}); rename one")
    if flags.image and len({slide.image_id or slide.id for slide in found}) > 1:
        raise UsageError(f"--image is for one slide, there are {len(found)}; name each one's image in a {TABLE}")


def recognise(path: Path) -> Iterator[Found]:
    """Slides at `path`, or in the folders below it."""
    here = list(_at(path))
    if here:
        yield from here
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            yield from _at(child)


def _at(path: Path) -> Iterator[Found]:
    if path.is_file():
        if path.suffix == ".h5ad":
            yield Found(path.stem, "h5ad", path)
        return
    if bins := bin_folders(path):
        section, image = run_folder(path).name, full_image(path)
        for um, folder in bins.items():
            yield Found(f"{section}-{um:03d}um", "visium-hd", folder, image=image, image_id=section)
    elif is_spaceranger(path):
        yield Found(path.parent.name if path.name == "outs" else path.name, "spaceranger", path)
    elif files := sorted(path.glob("*.h5ad")):
        yield from (Found(file.stem, "h5ad", file) for file in files)
    elif plain := find_plain(path):
        counts, coordinates, image = plain
        yield Found(path.name, "plain", counts, coordinates, image)


def _table(path: Path, slides: set[str]) -> dict[str, dict[str, str]]:
    """Rows of slides.csv by slide."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte-order mark
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        if "slide" not in columns or not set(columns) <= set(COLUMNS):
            must = f"columns must be slide and any of {', '.join(COLUMNS[1:])}"
            raise DataError(f"{path}: {must}; found: {', '.join(columns)}")
        rows = {row["slide"]: {k: v for k, v in row.items() if v} for row in reader}
    for row in rows.values():
        if "image" in row:
            row["image"] = str(path.parent / row["image"])
    strange = set(rows) - slides
    if strange:
        raise DataError(f"{path} names {', '.join(sorted(strange))}; the slides here are {', '.join(sorted(slides))}")
    return rows


def _understand(found: Found, name: str, row: dict[str, str], flags: Stated, cache_dir: Path) -> Understood:
    image = Path(row["image"]) if "image" in row else flags.image or found.image
    if image is not None and not image.is_file():
        raise DataError(f"slide {found.id}: image {image} is not there")
    image = image.resolve() if image else None
    section = read_section(found.layout, found.path, found.coordinates, image, cache_dir, flags.swap_xy)
    notes = [*section.notes]
    mpp = _number(row["mpp"], found.id) if "mpp" in row else flags.mpp
    if mpp is not None:
        if section.mpp is not None and abs(mpp / section.mpp - 1) > TOLERATED_DISAGREEMENT:
            notes.append(f"mpp {mpp:g} was given; the files say {section.mpp:.4g} ({section.mpp_source})")
        section = replace(section, mpp=mpp, mpp_source="given at import")
    elif section.mpp is None and section.image:
        tagged = open_image(section.image, cache_dir / "images").mpp
        section = replace(section, mpp=tagged, mpp_source="tags of the image file" if tagged else "")
    notes += validate(section, found.id, cache_dir)
    patient = row.get("patient") or flags.patient
    if not patient:
        notes.append(f"no patient was given: all such slides count as one patient, {name}")
    if found.layout == "h5ad" and section.image and not section.image.is_relative_to(cache_dir):
        image = section.image  # a file beside the h5ad
    definition = SlideDefinition(
        id=found.id,
        patient=patient or name,
        layout=found.layout,
        path=found.path,
        image_id=found.image_id,
        coordinates=found.coordinates,
        image=image,
        swap_xy=flags.swap_xy,
        image_in_layout=image is None and section.image is not None,
        mpp=section.mpp,
        mpp_source=section.mpp_source,
        spot_um=section.spot_um,
        spot_shape=section.spot_shape,
        grid=section.grid,
        has_regions=LABELS in section.adata.obs and bool(section.adata.obs[LABELS].notna().any()),
        organ=row.get("organ") or flags.organ,
        species=row.get("species") or flags.species,
        technology=row.get("technology") or flags.technology or section.technology,
    )
    return Understood(definition, section, notes)


def _number(text: str, slide: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise DataError(f"{TABLE}: mpp {text!r} of slide {slide} is not a number above 0")
    return number
