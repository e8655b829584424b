from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, fisher_exact

from stbench.stats.enrichment import over_representation

GENES = [f"G{i}" for i in range(20)]


def fisher(selected: set[str], background: set[str], members: set[str]) -> float:
    """One-sided p of the two-by-two table, by its definition."""
    table = [
        [len(selected & members), len(selected - members)],
        [len(members - selected), len(background - selected - members)],
    ]
    return float(fisher_exact(table, alternative="greater").pvalue)


@given(
    st.integers(1, 19),
    st.dictionaries(st.text("abc", min_size=1), st.sets(st.sampled_from([*GENES, "elsewhere"])), min_size=1),
)
def test_it_is_fishers_exact_test_with_benjamini_and_hochberg(n_selected: int, sets: dict[str, set[str]]) -> None:
    selected, background = GENES[:n_selected], set(GENES)

    found = over_representation(selected, GENES, sets, min_size=1)

    expected = {name: genes & background for name, genes in sets.items() if genes & background}
    assert {e.name for e in found} == set(expected)
    for one in found:
        assert one.p == pytest.approx(fisher(set(selected), background, expected[one.name]))
        assert one.fold == pytest.approx(one.overlap / one.size / (n_selected / 20))
        assert set(one.genes) == set(selected) & expected[one.name]
    if found:
        np.testing.assert_allclose([e.q for e in found], false_discovery_control([e.p for e in found]))
    assert [e.p for e in found] == sorted(e.p for e in found)


def test_a_set_made_of_the_selected_genes_by_hand() -> None:
    (one,) = over_representation(GENES[:5], GENES, {"best": GENES[:5]})

    assert (one.overlap, one.size, one.fold) == (5, 5, 4.0)
    assert one.p == one.q == pytest.approx(1 / 15504)  # of the ways to draw 5 of 20, one


def test_genes_are_listed_in_the_order_of_the_selection() -> None:
    (one,) = over_representation(["G3", "G1", "G2"], GENES, {"set": ["G1", "G2", "G3", "G4", "G5"]})

    assert one.genes == ("G3", "G1", "G2")


def test_sets_are_as_large_as_what_the_background_has_of_them() -> None:
    sets = {
        "small": GENES[:4],
        "right": [*GENES[:5], "H1"],
        "large": [*GENES[:7]],
        "elsewhere": [f"H{i}" for i in GENES],
    }

    found = over_representation(GENES[:3], GENES, sets, min_size=5, max_size=6)

    assert [e.name for e in found] == ["right"]
    assert over_representation(GENES[:3], GENES, {"small": GENES[:4]}) == []


def test_a_selection_from_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="1 selected genes are not in the background, such as H1"):
        over_representation(["G1", "H1"], GENES, {})
