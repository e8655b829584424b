"""Checks of datasets: what loading gives."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np

from stbench.datasets import DatasetContext
from stbench.errors import DataError
from stbench.slides import Slide
from stbench.slides.slide import LABELS
from stbench.testing.dataset.metadata import LOADS, METADATA, checks
from stbench.testing.dataset.subject import DatasetSubject

SHOWN = 3
"""Names that a message lists."""
LEAST_BYTES = 1_000_000
"""Memory that metadata may take in any case."""
REQUIRED = (("var", "symbol"), ("obs", "array_row"), ("obs", "array_col"), ("obsm", "spatial"))


@checks.add("protocols, models and maps find spots, genes and places by these names", needs=METADATA)
def loads(subject: DatasetSubject) -> None:
    """The first slides load: spots and genes of unique names, symbols, array positions, centres, and an image."""
    infos = {info.id: info for info in subject.infos}
    for name, slide in subject.loaded.items():
        adata, which = slide.adata, f"slide {name}"
        assert slide.info == infos[name], f"{which}: load gives other metadata than slides()"
        assert adata.n_obs, f"{which} has no spots"
        assert adata.n_vars, f"{which} has no genes"
        for axis, names in (("spot", adata.obs_names), ("gene", adata.var_names)):
            twice = list(names[names.duplicated()][:SHOWN])
            assert not twice, f"{which}: two {axis}s are named {', '.join(twice)}; names must be unique"
        absent = [f'{frame}["{key}"]' for frame, key in REQUIRED if key not in getattr(adata, frame)]
        assert not absent, f"{which} has no {', '.join(absent)}; see stbench.slides.Slide"
        centers = slide.centers_px
        assert centers.shape == (adata.n_obs, 2), f"{which}: centres have shape {centers.shape}, not (spots, 2)"
        for what, places in (("a centre", centers), ("an array position", slide.array_positions)):
            assert np.isfinite(places).all(), f"{which}: {what} is not a finite number; leave such spots out"
        labelled = LABELS in adata.obs and bool(adata.obs[LABELS].notna().any())
        assert slide.info.has_regions == labelled, (
            f"{which} {'has' if labelled else 'has no'} region labels: say has_regions={labelled} in its SlideInfo"
        )
        assert slide.source is not None, f"{which} says it has an image and carries no source"
        width, height = slide.image.size
        assert min(width, height) > 0, f"{which}: the image is {width} × {height} px"


@checks.add("planning, `ls` and `info` read the metadata of all slides, on a laptop too", needs=LOADS)
def metadata_without_pixels(subject: DatasetSubject) -> None:
    """Listing the slides takes less memory than the pixels of the smallest image loaded."""
    smallest = min(math.prod(slide.image.size) * 3 for slide in subject.loaded.values())
    fresh = subject.opened_with(DatasetContext(subject.fresh_folder(), subject.data_dir))
    started = tracemalloc.is_tracing()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        with subject.watched():
            fresh.slides()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not started:
            tracemalloc.stop()
    assert peak < max(smallest, LEAST_BYTES), (
        f"slides() took {peak / 1e6:.0f} MB, the smallest image has {smallest / 1e6:.0f}; read sizes and scales from "
        "headers, and leave images and counts to load()"
    )


@checks.add("patches would show white, or another spot's tissue", needs=LOADS)
def spots_inside_images(subject: DatasetSubject) -> None:
    """Every spot's centre lies in the image."""
    for name, slide in subject.loaded.items():
        size = slide.image.size
        outside = ((slide.centers_px < 0) | (slide.centers_px >= size)).any(1)
        assert not outside.any(), (
            f"slide {name}: {outside.sum()} of {slide.n_spots} spots lie outside its image ({size[0]} × {size[1]} px); "
            "are x and y exchanged, or the coordinates of another resolution?"
        )


@checks.add("protocols normalise counts: what was normalised before is normalised twice", needs=LOADS)
def counts_integral(subject: DatasetSubject) -> None:
    """X holds counts: whole numbers from 0, and some above."""
    for name, slide in subject.loaded.items():
        values = _entries(slide)
        whole = np.isfinite(values).all() and bool((values >= 0).all() and (values == np.round(values)).all())
        assert whole, f"slide {name}: X holds values that are no counts; load raw counts"
        assert values.any(), f"slide {name}: all counts are 0"


def _entries(slide: Slide) -> Any:
    x = slide.adata.X
    return np.asarray(x.data if hasattr(x, "tocsr") else x)


@checks.add("each cell loads its slides anew, in a process that may find another cache", needs=LOADS)
def loads_alike_twice(subject: DatasetSubject) -> None:
    """A slide loaded again is the same, in an object of its own."""
    for name, slide in subject.loaded.items():
        again = subject.load(subject.dataset, name)
        assert again.adata is not slide.adata, (
            f"slide {name}: load gives the same AnnData twice; what one user changes, the next would find"
        )
        differ = _differences(slide, again)
        assert not differ, f"slide {name} differs when loaded again: {', '.join(differ)}"


@checks.add("folds load their slides in any order", needs=LOADS)
def loads_in_any_order(subject: DatasetSubject) -> None:
    """Another instance, asked for the last slide first, gives the same slides."""
    other = subject.opened()
    for name in reversed(subject.loaded):
        differ = _differences(subject.loaded[name], subject.load(other, name))
        assert not differ, f"slide {name} differs when the slides are loaded in another order: {', '.join(differ)}"


def _differences(first: Slide, second: Slide) -> list[str]:
    a, b = first.adata, second.adata
    found = {"info": first.info == second.info, "obs": a.obs.equals(b.obs), "var": a.var.equals(b.var)}
    found["X"] = a.shape == b.shape and _same(a.X, b.X)
    found['obsm["spatial"]'] = np.array_equal(first.centers_px, second.centers_px)
    found["image"] = first.image.size == second.image.size
    return [what for what, alike in found.items() if not alike]


def _same(a: Any, b: Any) -> bool:
    unlike = a != b
    return not (unlike.nnz if hasattr(unlike, "nnz") else np.any(unlike))


@checks.add("a slide that is not there deserves a sentence, not a KeyError", needs=METADATA)
def unknown_slide(subject: DatasetSubject) -> None:
    """Loading a slide that the dataset does not have raises DataError and names it."""
    _ = subject.infos
    name = "no-such-slide"
    try:
        subject.load(subject.dataset, name)
    except DataError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"load of an unknown slide raises {type(error).__name__}; raise DataError") from error
    else:
        raise AssertionError("load of an unknown slide gives a slide; raise DataError")
    assert name in said, f"the error does not name the slide: {said}"
