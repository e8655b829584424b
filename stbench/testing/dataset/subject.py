"""A dataset under check: opened with a cache of its own, without network, its first slides loaded once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from stbench.datasets import Dataset, DatasetContext
from stbench.errors import DataError
from stbench.registry import DatasetSpec
from stbench.slides import Slide, SlideInfo
from stbench.testing.check import DoesNotApply
from stbench.testing.watch import Seen, watching

N_SLIDES = 3


class DatasetSubject:
    """A dataset's spec or class, where its data are, and what was read of them so far.

    Parameters
    ----------
    data_dir
        What a user gives as ``--data-dir``. Without it, and where nothing is made, there is nothing to load.
    n_slides
        How many slides with an image are loaded.

    Attributes
    ----------
    seen
        What the dataset did outside of its business, in all that the checks asked of it.
    """

    def __init__(
        self, subject: DatasetSpec | type[Dataset], data_dir: Path | None = None, n_slides: int = N_SLIDES
    ) -> None:
        self.subject = subject
        self.data_dir = data_dir
        self.n_slides = n_slides
        self.seen = Seen()
        self._scratch = tempfile.TemporaryDirectory(prefix="stbench-check-")

    @property
    def folder(self) -> Path:
        """Scratch folder, removed with the subject."""
        return Path(self._scratch.name)

    def fresh_folder(self) -> Path:
        """An empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def opened(self) -> Dataset:
        """Return a new instance that shares the cache of all others."""
        return self.opened_with(DatasetContext(self.folder / "cache", self.data_dir))

    def opened_with(self, context: DatasetContext) -> Dataset:
        """Return a new instance."""
        opening = self.subject
        dataset = opening.open(context) if isinstance(opening, DatasetSpec) else opening(context)
        assert isinstance(dataset, Dataset), f"{type(dataset).__name__} is not a stbench.datasets.Dataset"
        return dataset

    @contextmanager
    def watched(self, seen: Seen | None = None) -> Iterator[None]:
        """Refuse the network, and note what happens, by default in the subject's `seen`."""
        with watching(seen or self.seen, [self.folder]):
            yield

    @cached_property
    def dataset(self) -> Dataset:
        """The instance that most checks use."""
        return self.opened()

    @property
    def infos(self) -> list[SlideInfo]:
        """Metadata of all slides.

        Raises
        ------
        DoesNotApply
            With the dataset's own words, if no data were given and none are made.
        """
        if isinstance(self._found, DataError):
            raise self._absent(self._found)
        return self._found

    def _absent(self, error: DataError) -> DataError | DoesNotApply:
        return error if self.data_dir else DoesNotApply(f"no data: {error}")

    @cached_property
    def _found(self) -> list[SlideInfo] | DataError:
        try:
            with self.watched():
                return self.dataset.slides()
        except DataError as error:
            return error

    @property
    def chosen(self) -> list[SlideInfo]:
        """The slides that are loaded: the first with an image."""
        chosen = [info for info in self.infos if info.has_image][: self.n_slides]
        if not chosen:
            raise DoesNotApply("none of its slides has an image here")
        return chosen

    @cached_property
    def loaded(self) -> dict[str, Slide]:
        """The chosen slides by id; raises as `infos` does."""
        try:
            return {info.id: self.load(self.dataset, info.id) for info in self.chosen}
        except DataError as error:
            raise self._absent(error) from error

    def load(self, dataset: Dataset, slide_id: str) -> Slide:
        """Load a slide, watched."""
        with self.watched():
            slide = dataset.load(slide_id)
        assert isinstance(slide, Slide), f"load gives {type(slide).__name__}; return a stbench.slides.Slide"
        return slide
