"""Moments are exact: against direct formulas, merged anywhere, and silent about rounding noise."""

from __future__ import annotations

import warnings
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from stbench.stats import Moments, gene_moments


def direct(truth: np.ndarray, prediction: np.ndarray, measured: np.ndarray) -> list[dict[str, float]]:
    """Slow reference: one gene after the other, only its measured spots, float64."""
    rows = []
    for gene in range(truth.shape[1]):
        kept = measured[:, gene]
        y, p = truth[kept, gene].astype(float), prediction[kept, gene].astype(float)
        n = len(y)
        mean_y, mean_p = (y.mean(), p.mean()) if n else (0.0, 0.0)
        rows.append(
            {
                "n": n,
                "mean_true": mean_y,
                "mean_pred": mean_p,
                "ss_true": ((y - mean_y) ** 2).sum(),
                "ss_pred": ((p - mean_p) ** 2).sum(),
                "cross": ((y - mean_y) * (p - mean_p)).sum(),
                "sum_abs": np.abs(y - p).sum(),
            }
        )
    return rows


def example(n: int = 60, genes: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, (n, genes)).astype(np.float32)
    prediction = (truth * 0.5 + rng.normal(-1, 1, (n, genes))).astype(np.float32)
    return truth, prediction, rng.random((n, genes)) > 0.26


def assert_same(found: Moments, expected: Moments, rtol: float = 1e-9, atol: float = 0.0) -> None:
    for field in fields(Moments):
        np.testing.assert_allclose(
            getattr(found, field.name), getattr(expected, field.name), rtol=rtol, atol=atol, err_msg=field.name
        )


def test_moments_are_those_of_the_measured_spots() -> None:
    truth, prediction, measured = example()

    moments = gene_moments(truth, prediction, measured)

    for gene, expected in enumerate(direct(truth, prediction, measured)):
        for name, value in expected.items():
            assert getattr(moments, name)[gene] == pytest.approx(value, rel=1e-12), name


def test_correlation_is_scipys_on_the_measured_spots() -> None:
    truth, prediction, measured = example(n=7777, genes=16)  # the size of SEPAL's Visium task, 26 % masked

    m = gene_moments(truth, prediction, measured)

    r = m.cross / np.sqrt(m.ss_true * m.ss_pred)
    for gene in range(16):
        kept = measured[:, gene]
        assert r[gene] == pytest.approx(pearsonr(truth[kept, gene], prediction[kept, gene])[0], abs=1e-6)


def test_entries_that_are_not_measured_do_not_count_whatever_they_hold() -> None:
    truth, prediction, measured = example()
    expected = gene_moments(truth, prediction, measured)

    truth[~measured] = np.nan
    prediction[~measured] = np.inf

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(gene_moments(truth, prediction, measured), expected, rtol=0)


def test_a_gene_measured_nowhere_is_all_zero() -> None:
    truth, prediction, measured = example()
    measured[:, 2] = False

    m = gene_moments(truth, prediction, measured)

    assert [getattr(m, f.name)[2] for f in fields(Moments)] == [0] * 7


values = st.floats(-1000, 1000, width=32)


@st.composite
def columns(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    n = draw(st.integers(1, 30))
    shape = (n, 3)
    split = draw(st.integers(0, n))
    truth, prediction = (draw(arrays(np.float32, shape, elements=values)) for _ in range(2))
    return truth, prediction, draw(arrays(bool, shape)), split


@settings(max_examples=200, deadline=None)
@given(columns())
def test_split_anywhere_and_merged_equals_the_whole(case: tuple[np.ndarray, np.ndarray, np.ndarray, int]) -> None:
    truth, prediction, measured, split = case
    parts = [gene_moments(truth[rows], prediction[rows], measured[rows]) for rows in (slice(split), slice(split, None))]

    whole = gene_moments(truth, prediction, measured)

    # float32 cannot tell spreads below 1e-7 of a value: those of the whole may be cut to 0
    largest = max(np.abs(truth).max(), np.abs(prediction).max(), 1e-30)
    assert_same(parts[0].merge(parts[1]), whole, atol=len(truth) * largest * max(largest, 1) * 1e-6)
    np.testing.assert_array_equal(parts[0].merge(parts[1]).n, whole.n)
    assert_same(parts[1].merge(parts[0]), parts[0].merge(parts[1]), atol=1e-9 * max(largest, 1) ** 2)


def test_merging_many_blocks_is_exact() -> None:
    truth, prediction, measured = example(n=4000)
    blocks = [slice(i, i + 37) for i in range(0, 4000, 37)]

    merged = gene_moments(truth[blocks[0]], prediction[blocks[0]], measured[blocks[0]])
    for rows in blocks[1:]:
        merged = merged.merge(gene_moments(truth[rows], prediction[rows], measured[rows]))

    assert_same(merged, gene_moments(truth, prediction, measured), rtol=1e-11)


@given(value=st.floats(-1e6, 1e6, width=32), n=st.integers(1, 400), m=st.integers(1, 400))
def test_a_constant_column_has_no_spread_also_after_merging(value: float, n: int, m: int) -> None:
    def block(size: int) -> Moments:
        truth = np.random.default_rng(size).normal(size=(size, 1)).astype(np.float32)
        return gene_moments(truth, np.full((size, 1), value, np.float32), np.ones((size, 1), bool))

    merged = block(n).merge(block(m))

    assert (block(n).ss_pred[0], block(n).cross[0]) == (0.0, 0.0)
    assert (merged.ss_pred[0], merged.cross[0]) == (0.0, 0.0)
    assert merged.mean_pred[0] == np.float32(value)


def test_rounding_noise_of_float32_is_constant() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    noisy = np.full((50, 1), np.float32(3.1))
    noisy[::2] = np.nextafter(np.float32(3.1), np.float32(4))

    m = gene_moments(truth, noisy, np.ones((50, 1), bool))

    assert m.ss_pred[0] == 0.0
    assert m.cross[0] == 0.0


def test_a_rounding_step_between_the_constants_of_two_slides_is_no_signal() -> None:
    def slide(offset: float, constant: np.float32, n: int) -> Moments:
        truth = np.random.default_rng(n).normal(offset, 1, (n, 1)).astype(np.float32)
        return gene_moments(truth, np.full((n, 1), constant), np.ones((n, 1), bool))

    merged = slide(-2, np.float32(3.1), 30).merge(slide(2, np.nextafter(np.float32(3.1), np.float32(4)), 50))

    assert (merged.ss_pred[0], merged.cross[0]) == (0.0, 0.0)  # taken at face value, r is 0.91


def test_a_small_but_real_spread_is_kept() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    faint = (1 + 1e-4 * truth).astype(np.float32)

    m = gene_moments(truth, faint, np.ones((50, 1), bool))

    assert m.cross[0] / np.sqrt(m.ss_true[0] * m.ss_pred[0]) > 0.999
