from __future__ import annotations

import pytest
from handmade import make_cell

from stbench.execution.time_left import Durations, in_words

SLOW, FAST = make_cell(model="slow"), make_cell(model="fast")
OTHER_DATA = make_cell(model="slow", dataset="other")


def test_nothing_is_known_before_a_cell_has_finished() -> None:
    assert Durations().left([SLOW], [], 1) is None


def test_cells_take_what_their_like_took() -> None:
    took = Durations()
    took.add(SLOW, 100.0)
    took.add(FAST, 10.0)

    assert [took.expected(cell) for cell in (SLOW, FAST)] == [100, 10]
    assert took.expected(OTHER_DATA) == 100  # the same model elsewhere
    assert took.expected(make_cell(model="new")) == 55  # anything


def test_work_is_shared_by_places_and_what_runs_has_run() -> None:
    took = Durations()
    took.add(SLOW, 100.0)

    assert took.left([SLOW, SLOW], [(SLOW, 40.0), (SLOW, 60.0)], 2) == (200 + 60 + 40) / 2
    assert took.left([], [(SLOW, 10.0), (SLOW, 95.0)], 2) == 90  # no shorter than the longest that runs
    assert took.left([], [(SLOW, 500.0)], 1) == 0


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (170, "3 min"), (7800, "2 h 10 min")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
