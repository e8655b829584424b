"""Training on one data set, testing on another: both as one, with the genes that both measured."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property

from stbench.datasets.contract import DataFile, Dataset
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache

ON = "_on_"
"""Between the two names: no data set's own name has an underscore."""


def trained_on(name: str) -> str:
    """Name of the data set that trains, of ``A_on_B`` or of ``A``."""
    return name.partition(ON)[0]


def tested_on(name: str) -> str:
    """Name of the data set that tests, of ``A_on_B`` or of ``A``."""
    return name.rpartition(ON)[2]


class Transfer(Dataset):
    """The slides of two data sets, each with the genes that any slide of both measured.

    Counts are normalised over the same genes on both sides, then: a technology that measures more of them has no
    other denominator.

    Raises
    ------
    DataError
        The two have a slide, a patient or an image in common, by name.
    """

    def __init__(self, train: Dataset, test: Dataset) -> None:
        super().__init__(train.context)
        self.name = f"{train.name}{ON}{test.name}"
        self.default_protocol = train.default_protocol
        self.train, self.test = train, test

    def files(self) -> tuple[DataFile, ...]:
        """Files of both."""
        return (*self.train.files(), *self.test.files())

    @cached_property
    def revision(self) -> str:
        """Those of the two, joined by a hyphen."""
        return f"{self.train.revision}-{self.test.revision}"

    def slides(self) -> list[SlideInfo]:
        """Metadata of both, those that train first."""
        train, test = self.train.slides(), self.test.slides()
        for what, field in (("slides", "id"), ("patients", "patient"), ("images", "image_id")):
            ours, theirs = ({getattr(s, field) for s in slides} - {""} for slides in (train, test))
            if shared := sorted(ours & theirs):
                raise DataError(
                    f"{self.train.name} and {self.test.name} share {what} ({', '.join(shared[:5])}): what was trained "
                    "on cannot be tested on; if they are not the same, import one of the two with other names"
                )
        return [*train, *test]

    def load(self, slide_id: str) -> Slide:
        """Read one slide, with the genes that both data sets have."""
        return self._shared(self._load(slide_id))

    def _load(self, slide_id: str) -> Slide:
        trains = slide_id in {info.id for info in self.train.slides()}
        return (self.train if trains else self.test).load(slide_id)

    def _shared(self, slide: Slide) -> Slide:
        genes = slide.adata.var_names.isin(self._genes)
        return slide if genes.all() else slide.with_adata(slide.adata[:, genes].copy())

    @cached_property
    def _genes(self) -> list[str]:
        """Genes that some slide of each measured; found once, for all slides have to be read."""
        path = self.context.cache_dir / "shared-genes" / f"{self.revision}.json"
        try:
            return list(json.loads(path.read_text()))
        except (OSError, ValueError):
            pass
        ours, theirs = (self._all_genes(data.slides()) for data in (self.train, self.test))
        genes = sorted(ours & theirs)
        if not genes:
            raise DataError(
                f"{self.train.name} and {self.test.name} have no gene in common ({min(ours)}, … and {min(theirs)}, …); "
                "genes have to be named alike in both"
            )
        partial = cache.temporary(path)
        partial.write_text(json.dumps(genes))
        os.replace(partial, path)
        return genes

    def _all_genes(self, slides: Sequence[SlideInfo]) -> set[str]:
        return set().union(*(self._load(info.id).adata.var_names for info in slides if info.has_image))
