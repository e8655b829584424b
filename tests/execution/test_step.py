"""How far a cell is, through files that may be half-written, of the stage before, or missing."""

from __future__ import annotations

import os
from pathlib import Path

from stbench.execution.step import Step, StepFile, read_step


def enter(work: Path, stage: str, second: int) -> None:
    (work / "stage").write_text(stage)
    os.utime(work / "stage", (second, second))


def test_a_cell_that_has_not_begun(tmp_path: Path) -> None:
    assert read_step(tmp_path / "nowhere") == Step()


def test_the_stage_and_what_is_counted_in_it(tmp_path: Path) -> None:
    enter(tmp_path, "fit", 1000)
    assert read_step(tmp_path) == Step("fit")

    StepFile(tmp_path)("epoch", 3, 200)
    assert read_step(tmp_path) == Step("fit", "epoch", 3, 200)


def test_counts_of_the_stage_before_do_not_count(tmp_path: Path) -> None:
    StepFile(tmp_path)("epoch", 200, 200)
    os.utime(tmp_path / "counted", (1000, 1000))
    enter(tmp_path, "predict", 1001)

    assert read_step(tmp_path) == Step("predict")


def test_half_a_line_is_no_count(tmp_path: Path) -> None:
    enter(tmp_path, "fit", 1000)
    (tmp_path / "counted").write_text("epoch 3")

    assert read_step(tmp_path) == Step("fit")


def test_it_is_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    enter(tmp_path, "fit", 1000)
    progress = StepFile(tmp_path)
    for epoch in range(1, 1000):
        progress("epoch", epoch, 1000)
    assert read_step(tmp_path).done < 999

    progress("epoch", 1000, 1000)
    assert read_step(tmp_path).done == 1000


def test_a_folder_that_is_gone_stops_no_training(tmp_path: Path) -> None:
    StepFile(tmp_path / "gone")("epoch", 1, 2)
