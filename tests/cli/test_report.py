"""`stbench report` and `stbench plot` on a store of real runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

KINDS = ("map", "genes", "slides", "cost", "intervals")


@pytest.fixture
def store(sweep: Any) -> Path:
    path: Path = sweep.store
    return path


def embedded(page: Path) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def test_the_page_has_the_image_of_data_that_are_here(store: Path, in_process: Any, tmp_path: Path) -> None:
    done = in_process("report", "-o", str(tmp_path / "site"), store=store)

    assert done.returncode == 0, done.stderr
    page = tmp_path / "site" / "index.html"
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    assert str(page) in done.stdout
    (task,) = embedded(page)["tasks"]
    (slide,) = task["slides"]
    assert slide["image"].startswith("data:image/webp;base64,")
    assert len(task["variants"]) == 3
    assert all(len(gene["models"]) == 3 for gene in slide["genes"].values())


def test_a_page_is_not_written_over_a_file(store: Path, in_process: Any, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")

    done = in_process("report", "-o", str(taken), store=store)

    assert done.returncode == 1
    assert "give another folder" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_a_vector_file_and_the_same_each_time(
    kind: str, store: Path, in_process: Any, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.svg" for number in range(2)]
    for file in files:
        done = in_process("plot", kind, "-o", str(file), store=store)
        assert done.returncode == 0, done.stderr

    assert "<svg" in files[0].read_text()
    assert "toy-good" in files[0].read_text()
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_figures_are_written_as_their_ending_says(ending: str, store: Path, in_process: Any, tmp_path: Path) -> None:
    file = tmp_path / f"figure.{ending}"

    done = in_process("plot", "intervals", "-o", str(file), store=store)

    assert done.returncode == 0, done.stderr
    assert file.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["intervals", "-o", "x.gif"], "must end in one of .svg, .pdf, .png"),
        (["intervals", "-o", "x.svg", "--metric", "pcx"], "no value of metric 'pcx' here; there are pcc"),
        (["intervals", "-o", "x.svg", "-m", "ridge"], "no finished run of model 'ridge'; there are"),
        (["intervals", "-o", "x.svg", "-d", "nowhere"], "no finished run of that"),
        (["cost", "-o", "x.svg", "--against", "money"], "--against 'money' is none of fit_seconds"),
        (["map", "-o", "x.svg", "--slide", "S9"], "slide 'S9' was not tested; there are P1-S2"),
        (["map", "-o", "x.svg", "--gene", "NONE"], "gene 'NONE' is not in the panel of slide P1-S2"),
        (["regions", "-o", "x.svg"], "no slide that was tested has annotated regions"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    arguments: list[str], sentence: str, store: Path, in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = in_process("plot", *arguments, store=store)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert not list(tmp_path.glob("x.*"))
