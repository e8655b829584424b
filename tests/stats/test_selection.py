from __future__ import annotations

import numpy as np
import pytest

from stbench.stats import select, t_interval, unit_means


def test_the_best_validation_score_wins_and_ties_go_by_name() -> None:
    assert select({"b": 0.2, "a": 0.1}) == "b"
    assert select({"b": 0.2, "a": 0.1}, higher_is_better=False) == "a"
    assert select({"b": 0.2, "a": 0.2}) == "a"


def test_what_is_nested_is_averaged_first() -> None:
    values = [0.0, 1.0, 4.0, 6.0]
    patients, slides = ["A", "A", "A", "B"], ["A1", "A1", "A2", "B1"]

    assert unit_means(values, patients, slides) == {"A": (0.5 + 4.0) / 2, "B": 6.0}
    assert unit_means(values, patients) == {"A": pytest.approx(5 / 3), "B": 6.0}


def test_intervals_over_units_cover_with_unequal_numbers_of_sections_and_seeds() -> None:
    """Patients differ, sections of a patient differ less, seeds less still."""
    rng = np.random.default_rng(0)
    sections = [(p, f"{p}{s}") for p, n in zip("ABCDE", (1, 3, 2, 3, 1), strict=True) for s in range(n)]
    nested = [(p, s) for i, (p, s) in enumerate(sections) for _ in range(1 + i % 2)]
    patients, slides = zip(*nested, strict=True)
    covered = []
    for _ in range(3000):
        of_patient = dict(zip("ABCDE", rng.normal(0.3, 0.1, 5), strict=True))
        of_slide = {s: of_patient[p] + rng.normal(0, 0.03) for p, s in sections}
        values = [of_slide[s] + rng.normal(0, 0.01) for s in slides]
        interval = t_interval(list(unit_means(values, patients, slides).values()))
        covered.append(interval.low <= 0.3 <= interval.high)  # type: ignore[operator]

    assert 0.93 <= np.mean(covered) <= 0.97
