"""Dataset definitions: small TOML files that say where a lab's own slides are. Written by `stbench data import`."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from stbench.errors import DataError
from stbench.registry import definition_path
from stbench.slides.info import Grid, SpotShape

Layout = Literal["spaceranger", "visium-hd", "h5ad", "plain"]


class SlideDefinition(BaseModel):
    """One slide: where its files are, and what was understood of them at import or given by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    patient: str
    layout: Layout
    path: Path
    """Folder (spaceranger; visium-hd: of one bin size), file (h5ad) or count table (plain)."""
    image_id: str = ""
    """What slides share that are bin sizes of one section; empty: the slide's own id."""
    coordinates: Path | None = None
    """Coordinate table of the plain layout."""
    image: Path | None = None
    """Image file, unless the layout itself brings one."""
    image_in_layout: bool = False
    """Whether the layout itself brings the image: Space Ranger's own, or one inside the h5ad."""
    swap_xy: bool = False
    """Whether the files give each spot's y before its x."""
    mpp: float | None = None
    """µm per pixel of the image."""
    mpp_source: str = ""
    spot_um: float
    spot_shape: SpotShape = "circle"
    grid: Grid = "none"
    has_regions: bool = False
    """Whether the files say the region of spots."""
    organ: str = ""
    species: str = ""
    technology: str = ""


class Definition(BaseModel):
    """A dataset of imported slides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str = ""
    default_protocol: str
    slides: tuple[SlideDefinition, ...]


def read(path: Path) -> Definition:
    """Read a definition.

    Raises
    ------
    DataError
        A file that is not TOML, or does not say what a definition must.
    """
    try:
        definition = Definition.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); import the dataset again") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML ({error}); mend it or import the dataset again") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg']}; mend it or import the dataset again") from error
    if definition.name != path.stem:
        raise DataError(f"{path} says name = {definition.name!r}; name the file and the dataset alike")
    return definition


def write(definition: Definition) -> Path:
    """Write a definition for people to read and edit; returns its path."""
    path = definition_path(definition.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Dataset of stbench, written by `stbench data import`. Edit it freely; `stbench data status` checks it.",
        *_assignments(definition.model_dump(mode="json", exclude={"slides"})),
    ]
    for slide in definition.slides:
        lines += ["", "[[slides]]", *_assignments(slide.model_dump(mode="json"))]
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text("\n".join(lines) + "\n")
    os.replace(partial, path)
    return path


def _assignments(values: dict[str, Any]) -> list[str]:
    """TOML lines; JSON's strings and numbers are TOML's."""
    return [
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value not in (None, "")
    ]
