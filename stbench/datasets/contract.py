"""What a dataset is to stbench."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stbench.slides import Slide, SlideInfo


@dataclass(frozen=True)
class DatasetContext:
    """Where a dataset may look and keep things.

    Attributes
    ----------
    cache_dir
        The cache's root: decoded images, patches, parsed counts, downloads.
    data_dir
        What the user gave as ``--data-dir`` or ``STBENCH_DATA``.
    """

    cache_dir: Path
    data_dir: Path | None = None


@dataclass(frozen=True)
class DataFile:
    """A file of a dataset.

    Attributes
    ----------
    name
        Its path inside the dataset's folder.
    sha256
        Of its content.
    path
        Where it is; None if it is made, not read.
    """

    name: str
    sha256: str
    path: Path | None = None


class Dataset(ABC):
    """A named collection of slides. Constructing one is cheap; nothing is read before it is asked for.

    Attributes
    ----------
    name, default_protocol
        Class attributes.
    """

    name: str
    default_protocol: str = "stbench-v1"

    def __init__(self, context: DatasetContext) -> None:
        self.context = context

    @abstractmethod
    def files(self) -> tuple[DataFile, ...]:
        """Every file that is here, with its checksum."""

    @abstractmethod
    def slides(self) -> list[SlideInfo]:
        """Metadata of all slides, those without an image included; reads no image and no counts."""

    @abstractmethod
    def load(self, slide_id: str) -> Slide:
        """Read one slide with its raw counts in ``adata.X``."""

    @property
    def source(self) -> str:
        """Where the data come from, in a few words."""
        return "made here"

    def locate(self) -> Path | None:
        """Folder the data are in, or None if they are not here; downloads nothing."""
        return self.context.cache_dir

    def fetch(self) -> Path | None:
        """Make sure the data are here, downloading them if need be."""
        self.files()
        return self.locate()

    @cached_property
    def revision(self) -> str:
        """Content revision: 16 hexadecimal digits that change with any byte of any file."""
        lines = sorted(f"{file.name}\t{file.sha256}" for file in self.files())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
