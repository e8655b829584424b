from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.models import retrieval
from stbench.models.retrieval import Reference, nearest
from stbench.testing import toy_slides


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 50), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_nearest_are_the_first_of_all_in_order(queries: int, keys: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, x = torch.randn(queries, 6, generator=generator), torch.randn(keys, 6, generator=generator)

    products, index = nearest(q, x, k)

    every = (q @ x.T).sort(dim=1, descending=True).values[:, :k]
    torch.testing.assert_close(products, every)
    torch.testing.assert_close((q @ x.T).gather(1, index), products)
    assert index.shape == (queries, min(k, keys))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    q, x = torch.randn(50, 8), torch.randn(90, 8)
    whole = nearest(q, x, 7)

    monkeypatch.setattr(retrieval, "PRODUCTS", 200)  # two queries at a time

    for found, expected in zip(nearest(q, x, 7), whole, strict=True):
        torch.testing.assert_close(found, expected)


def slow_mean(values: np.ndarray, measured: np.ndarray, index: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Value by value."""
    out = np.zeros((len(index), values.shape[1]))
    for query, (chosen, shares) in enumerate(zip(index, weights, strict=True)):
        for gene in range(values.shape[1]):
            known = [(w, values[spot, gene]) for spot, w in zip(chosen, shares, strict=True) if measured[spot, gene]]
            total = sum(w for w, _ in known)
            everywhere = values[measured[:, gene], gene]
            if total:
                out[query, gene] = sum(w * v for w, v in known) / total
            else:
                out[query, gene] = everywhere.mean() if len(everywhere) else 0
    return out


@pytest.mark.parametrize("holes", [False, True])
def test_means_equal_a_slow_reference(holes: bool) -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(12, 5)).astype(np.float32), rng.random((9, 3)).astype(np.float32)
    measured = rng.random((12, 5)) < 0.4 if holes else np.ones((12, 5), bool)
    if holes:
        measured[:, 4] = False  # a gene that nobody measured
    index = rng.integers(0, 12, (9, 3))
    reference = Reference(torch.zeros(12, 2), torch.from_numpy(values), torch.from_numpy(measured) if holes else None)

    found = reference.mean(torch.from_numpy(index), torch.from_numpy(weights))

    np.testing.assert_allclose(found, slow_mean(values, measured, index, weights), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        reference.mean(torch.from_numpy(index)),
        slow_mean(values, measured, index, np.ones((9, 3))),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_prediction_lies_between_the_least_and_the_most_that_was_looked_up() -> None:
    torch.manual_seed(0)
    reference = Reference(torch.randn(60, 4), torch.randn(60, 5))

    found = reference.mean(nearest(torch.randn(30, 4), reference.keys, 10)[1])

    assert (found >= reference.values.min(0).values - 1e-6).all()
    assert (found <= reference.values.max(0).values + 1e-6).all()


def test_what_was_not_measured_is_not_averaged_in(tmp_path: Path) -> None:
    first, second = toy_slides(tmp_path)
    adata = second.adata.copy()
    adata.X[:, 2] = 0  # its placeholder
    adata.layers["measured"][:, 2] = False
    slides = [first, second.with_adata(adata)]
    reference = Reference.of(torch.zeros(first.n_spots + second.n_spots, 3), slides)

    everyone = torch.arange(len(reference.keys))[None]
    found = reference.mean(everyone)

    assert float(found[0, 2]) == pytest.approx(float(first.target[:, 2].mean()), rel=1e-5)
    both = np.concatenate([first.target, second.target])
    np.testing.assert_allclose(found[0, [0, 1]], both.mean(0)[:2], rtol=1e-5)


@pytest.mark.parametrize("holes", [False, True])
def test_a_reference_is_kept_and_found_again(holes: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    mask = torch.rand(6, 4) < 0.5 if holes else None
    reference = Reference(torch.randn(6, 3), torch.randn(6, 4), mask)

    reference.save(tmp_path / "reference.safetensors")
    again = Reference.load(tmp_path / "reference.safetensors")

    assert torch.equal(again.keys, reference.keys)
    assert torch.equal(again.values, reference.values)
    assert (again.measured is None) == (mask is None)
    assert mask is None or (again.measured is not None and torch.equal(again.measured, mask))
