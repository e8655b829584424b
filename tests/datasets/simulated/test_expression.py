"""The simulated counts: drawn around what is expected, and following what the programme says."""

from __future__ import annotations

import numpy as np
import pytest

from stbench.datasets.simulated.expression import GENES, Expression, gene_programme, measure_expression
from stbench.datasets.simulated.tissue import REGIONS, Tissue, grow_tissue

KIND = gene_programme().kind
GENES_OF = {kind: set(np.flatnonzero(kind == KIND)) for kind in ("region", "density", "field", "noise")}


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return grow_tissue(0, 0)


@pytest.fixture(scope="module")
def expression(tissue) -> Expression:
    return measure_expression(tissue, 0, 0)


def test_same_arguments_give_same_bytes(tissue, expression):
    again = measure_expression(tissue, 0, 0)

    assert again.counts.tobytes() == expression.counts.tobytes()
    assert again.expected.tobytes() == expression.expected.tobytes()


def test_shapes_and_types(tissue, expression):
    assert len(set(GENES)) == 300
    for values, dtype in ((expression.counts, np.int32), (expression.expected, np.float64)):
        assert values.dtype == dtype
        assert values.shape == (len(tissue.centers_px), 300)
    assert expression.counts.min() == 0
    assert (expression.expected > 0).all()


def test_depth_is_that_of_a_real_library(expression):
    total = expression.counts.sum(axis=1)

    assert 3000 <= np.median(total) <= 6500
    assert (total > 100).all()


def test_counts_average_to_expected(expression):
    size = gene_programme().size
    surplus = expression.counts - expression.expected
    variance = expression.expected + expression.expected**2 / size  # dropout adds a little to it

    z_of_gene = surplus.sum(axis=0) / np.sqrt(variance.sum(axis=0))

    assert abs(surplus.sum()) < 4 * np.sqrt(variance.sum())
    assert abs(z_of_gene.mean()) < 4 / np.sqrt(len(GENES))
    assert 0.85 < z_of_gene.std() < 1.25
    assert np.abs(z_of_gene).max() < 5


def test_counts_are_overdispersed(expression):
    squared = (expression.counts - expression.expected) ** 2

    assert squared.mean() > 2 * expression.expected.mean()


def test_each_gene_follows_one_thing():
    programme = gene_programme()

    assert sum(map(len, GENES_OF.values())) == len(GENES)
    assert all(GENES_OF.values())
    effects = {
        "region": programme.by_region.any(axis=0),
        "density": programme.by_density != 0,
        "field": programme.by_field.any(axis=0),
    }
    for kind, followed in effects.items():
        assert GENES_OF[kind] == set(np.flatnonzero(followed))


def test_region_genes_follow_region_and_noise_genes_do_not(tissue, expression):
    share = _share_explained_by_region(_log_normalised(expression.counts), tissue.region)
    by_chance = (len(REGIONS) - 1) / (len(tissue.region) - 1)

    assert share[KIND == "noise"].mean() < 3 * by_chance
    assert share[KIND == "region"].mean() > 0.1


def test_density_genes_follow_nuclei(tissue, expression):
    rising = (KIND == "density") & (gene_programme().by_density > 0)
    nuclei = np.log1p(tissue.nuclei_per_spot)

    expressed = _log_normalised(expression.counts)[:, rising]
    correlation = [np.corrcoef(nuclei, gene)[0, 1] for gene in expressed.T]

    assert np.mean(correlation) > 0.25


def test_hidden_fields_are_new_in_each_section(tissue, expression):
    field_genes = KIND == "field"
    as_another_section = measure_expression(tissue, 0, 1)
    here, elsewhere = (np.log(e.expected[:, field_genes]) for e in (expression, as_another_section))

    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(here.T, elsewhere.T, strict=True)]

    assert np.median(np.abs(correlation)) < 0.5


def test_patients_differ_in_the_level_of_genes(tissue):
    noise = KIND == "noise"

    first, sister, stranger = (
        np.log(measure_expression(tissue, patient, section).expected[:, noise].mean(axis=0))
        for patient, section in ((0, 0), (0, 1), (1, 0))
    )
    between_sections, between_patients = np.std(first - sister), np.std(first - stranger)

    assert between_patients > 0.2
    assert between_patients > 3 * between_sections


def test_programme_depends_on_seed():
    assert (gene_programme(1).kind != KIND).any()


def test_best_reachable_score_is_moderate(expression):
    expected, counts = _log_normalised(expression.expected), _log_normalised(expression.counts)

    ceiling = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(expected.T, counts.T, strict=True)])

    assert 0.35 < ceiling < 0.55


def _log_normalised(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def _share_explained_by_region(values: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Between-region share of each gene's variance (eta squared)."""
    fitted = np.zeros_like(values)
    for name in REGIONS:
        fitted[region == name] = values[region == name].mean(axis=0)
    return fitted.var(axis=0) / values.var(axis=0)
