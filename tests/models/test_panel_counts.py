from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from stbench.errors import DataError
from stbench.models.panel_counts import panel_counts, size_factors
from stbench.slides import Slide
from stbench.testing import toy_slides


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path, patients=1)[0]


def with_raw(slide: Slide, raw: object) -> Slide:
    adata = slide.adata.copy()
    adata.raw = raw
    return slide.with_adata(adata)


@pytest.mark.parametrize("sparse", [False, True])
def test_counts_are_those_of_the_panel_in_its_order(slide: Slide, sparse: bool) -> None:
    raw = slide.adata.raw.to_adata()[:, ::-1].copy()
    if sparse:
        raw.X = csr_array(raw.X)
    other = with_raw(slide, raw)

    counts = panel_counts(other)

    assert counts.dtype == np.float32
    for column, gene in zip(counts.T, slide.adata.var_names, strict=True):
        np.testing.assert_array_equal(column, slide.adata.raw[:, gene].X.ravel())


def test_a_gene_that_the_slide_lacks_has_none(slide: Slide) -> None:
    gene = slide.adata.var_names[2]
    raw = slide.adata.raw.to_adata()

    counts = panel_counts(with_raw(slide, raw[:, raw.var_names != gene].copy()))

    assert (counts[:, 2] == 0).all()
    np.testing.assert_array_equal(np.delete(counts, 2, 1), np.delete(panel_counts(slide), 2, 1))


def test_counts_follow_the_spots_of_a_block(slide: Slide) -> None:
    rows = np.array([7, 3, 20])

    np.testing.assert_array_equal(panel_counts(slide.subset(rows)), panel_counts(slide)[rows])


def test_a_slide_without_counts_says_so(slide: Slide) -> None:
    with pytest.raises(DataError, match=r"slide P1-S1 carries no counts"):
        panel_counts(slide.without_expression())


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([2, 4, 8], [0.5, 1, 2]),
        ([0, 3, 6, 9], [0, 2 / 3, 4 / 3, 2]),
        ([0, 0, 0, 2, 6], [0, 0, 0, 0.5, 1.5]),
        ([0, 0], [0, 0]),
    ],
)
def test_size_factors_are_relative_to_the_median_spot(totals: list[int], expected: list[float]) -> None:
    counts = np.stack([np.asarray(totals, np.float32), np.zeros(len(totals), np.float32)], 1)

    np.testing.assert_allclose(size_factors(counts), expected, rtol=1e-6)
