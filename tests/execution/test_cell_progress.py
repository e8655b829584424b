"""What a person sees: a row per running cell with its bar, a line about all, colours only where they are wanted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest
from handmade import make_record
from rich.console import Console

from stbench.execution.cell_progress import CellProgress
from stbench.execution.step import StepFile
from stbench.execution.task import Task


@pytest.fixture
def tasks(toys: Any) -> list[Task]:
    cells = [toys.cell("mean", fold=fold) for fold in ("P1", "P2", "P3")]
    return [Task(cell=cell, options=toys.options, run_id=f"r{i}") for i, cell in enumerate(cells)]


def seen(progress: CellProgress) -> list[str]:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(progress.shown())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_cells_show_how_far_they_are(tasks: list[Task]) -> None:
    progress = CellProgress(tasks, quiet=True)
    for task in tasks[:2]:
        progress.started(task)
    work = tasks[0].options.store / ".staging" / "r0" / "work"
    work.mkdir(parents=True)
    (work / "stage").write_text("fit")
    StepFile(work)("epoch", 3, 200)

    first, second, line = seen(progress)

    assert first.startswith("toy/stbench-v1 fold P1 mean")
    assert "fit epoch 3/200" in first
    assert "starting" in second
    assert line == "2 running, 0 done, 0 failed, 1 to go"


def test_what_has_ended_is_counted_and_says_how_long_the_rest_takes(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = CellProgress(tasks, quiet=True)
    progress.started(tasks[0])
    clock[0] = 30.0
    progress.ended(tasks[0], make_record(tasks[0].cell, "r0"))
    progress.started(tasks[1])

    assert seen(progress)[-1] == "1 running, 1 done, 0 failed, 1 to go; about 1 min left"

    progress.ended(tasks[1], make_record(tasks[1].cell, "r1", status="failed"))
    assert seen(progress)[-1].startswith("0 running, 1 done, 1 failed, 1 to go")


def test_a_second_attempt_is_the_same_cell(tasks: list[Task]) -> None:
    progress = CellProgress(tasks, quiet=True)
    progress.started(tasks[0])
    again = tasks[0].model_copy(update={"run_id": "r9"})
    progress.started(again)
    progress.ended(again, make_record(again.cell, "r9"))

    assert (progress.n_ended, len(progress.records)) == (1, 1)
    assert seen(progress)[-1].startswith("0 running, 1 done, 0 failed, 2 to go")


ON_A_TERMINAL = """
import pty, sys
sys.exit(pty.spawn([sys.executable, "-c", sys.argv[1]]) >> 8)
"""
SHOWS = """
import time
from stbench.execution.progress import Progress
with Progress(2) as progress:
    progress.begin("one [cell]")
    time.sleep(0.6)
    progress.end("one [cell]", "ok one [cell]")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize("no_color", [True, False])
def test_colours_on_a_terminal_unless_they_are_not_wanted(no_color: bool) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env = kept | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    command = [sys.executable, "-c", ON_A_TERMINAL, SHOWS]
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    )

    assert "[1/2] ok one [cell]" in done.stdout
    assert "0/2 one [cell]" in done.stdout
    assert ("\x1b[38" in done.stdout or "\x1b[3" in done.stdout or "\x1b[9" in done.stdout) is not no_color


def test_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    from stbench.execution.progress import Progress

    with Progress(1) as progress:
        progress.begin("one")
        progress.end("one", "ok one")

    assert capsys.readouterr().err == "[1/1] ok one\n"
