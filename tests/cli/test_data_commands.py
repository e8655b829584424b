"""`stbench data`: import, status and verify, and a run on what was imported."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stbench.datasets.simulated.hd_run import write_hd_run

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def data(in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`stbench data` with definitions and cache of its own."""
    from stbench.registry import discover

    monkeypatch.setenv("STBENCH_DATASETS", str(tmp_path / "definitions"))
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        discover.cache_clear()
        return in_process("data", *arguments)

    return run


@pytest.fixture
def bulbs(test_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(test_data / "mob_2k", tmp_path / "bulbs"))


def test_an_import_says_what_it_understood(data: Command, bulbs: Path, tmp_path: Path) -> None:
    done = data("import", str(bulbs), "--as", "bulbs", "--mpp", "3.5", "--format", "json")

    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert answer["definition"] == str(tmp_path / "definitions" / "bulbs.toml")
    assert answer["default_protocol"] == "stbench-section-v1"
    assert [(s["slide"], s["layout"], s["genes"], s["µm/px"], s["from"], s["image"]) for s in answer["slides"]] == [
        (name, "plain", 1000, 3.5, "given at import", "yes") for name in ("MOB1", "MOB2", "MOB3")
    ]
    assert not any("give its mpp" in note for s in answer["slides"] for note in s["notes"])


def test_thumbnails_show_the_spots_on_the_tissue(data: Command, bulbs: Path, tmp_path: Path) -> None:
    done = data("import", str(bulbs), "--as", "bulbs", "--mpp", "3.5")

    assert f"thumbnails with spots: {tmp_path / 'definitions' / 'bulbs.png'}" in done.stdout.replace("\n", "")
    with Image.open(tmp_path / "definitions" / "bulbs.png") as opened:
        sheet = np.asarray(opened.convert("RGB")).astype(int)
    assert sheet.shape == (712, 3 * 712, 3)
    with Image.open(bulbs / "MOB1" / "HE.jpg") as opened:
        opened.thumbnail((700, 700))
        plain = np.asarray(opened.convert("RGB")).astype(int)
    drawn = sheet[: plain.shape[0], : plain.shape[1]]
    changed = np.abs(drawn - plain).max(axis=2) > 60
    blue = changed & (drawn[..., 2] > drawn[..., 0] + 40)
    yellow = changed & (drawn[..., 0] > drawn[..., 2] + 40)
    assert 0.01 < changed.mean() < 0.6
    assert blue.sum() > 200
    assert yellow.sum() > 200


def test_slides_that_cannot_be_used_are_shown_with_the_reason(data: Command, bulbs: Path, tmp_path: Path) -> None:
    done = data("import", str(bulbs), "--as", "bulbs", "--format", "json")

    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert {s["image"] for s in answer["slides"]} == {"the image's scale is unknown; import again with --mpp"}
    assert answer["thumbnails"] is None
    assert not (tmp_path / "definitions" / "bulbs.png").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--as", "simulated"], "error: --as simulated: stbench already offers a dataset of this name; choose another"),
        (["--as", "No Good"], "error: --as 'No Good': a dataset's name has lower-case letters, digits and hyphens"),
        (["--as", "bulb", "--image", "none.png"], "error: slide MOB1: image none.png is not there"),
    ],
)
def test_a_wrong_import_is_one_sentence_and_leaves_nothing(
    arguments: list[str], sentence: str, data: Command, bulbs: Path, tmp_path: Path
) -> None:
    done = data("import", str(bulbs / "MOB1"), *arguments)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "definitions").glob("*"))


def test_an_unrecognised_folder_is_one_sentence(data: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = data("import", str(tmp_path / "empty"), "--as", "bulbs")

    assert done.returncode == 1
    assert f"error: {tmp_path / 'empty'} holds no layout stbench knows" in done.stderr


def test_importing_again_replaces_what_was_imported(data: Command, bulbs: Path) -> None:
    data("import", str(bulbs), "--as", "bulbs")
    again = data("import", str(bulbs), "--as", "bulbs", "--mpp", "3.5", "--patient", "M1", "--format", "json")

    assert again.returncode == 0
    assert {s["patient"] for s in json.loads(again.stdout)["slides"]} == {"M1"}


def test_status_of_what_is_here_gone_and_broken(data: Command, bulbs: Path, tmp_path: Path) -> None:
    data("import", str(bulbs), "--as", "bulbs", "--mpp", "3.5")
    data("import", str(bulbs / "MOB3"), "--as", "gone", "--mpp", "3.5")
    (tmp_path / "definitions" / "broken.toml").write_text("name =")
    (bulbs / "MOB1" / "HE.jpg").unlink()
    text = (tmp_path / "definitions" / "gone.toml").read_text()
    (tmp_path / "definitions" / "gone.toml").write_text(text.replace(str(bulbs), str(tmp_path / "nowhere")))

    done = data("status", "--format", "json")

    rows: dict[str, dict[str, Any]] = {row["dataset"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    bulb = rows["bulbs"]
    assert (bulb["state"], bulb["slides"], bulb["without image"]) == ("here", 3, "MOB1")
    assert len(bulb["revision"]) == 16
    assert (rows["gone"]["state"], rows["gone"]["slides"]) == ("not here", None)
    assert rows["broken"]["state"].startswith(f"{tmp_path / 'definitions' / 'broken.toml'} is not TOML (")
    assert rows["simulated"]["state"] == "here"
    assert rows["her2st"]["state"] == "not here"
    named = data("status", "bulbs", "--format", "json")
    assert [row["dataset"] for row in json.loads(named.stdout)] == ["bulbs"]


def test_a_broken_definition_is_one_sentence(data: Command, tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "broken.toml").write_text("name =")

    done = data("verify", "broken")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'definitions' / 'broken.toml'} is not TOML (")
    assert done.stderr.count("\n") == 1


def test_verify_records_and_then_notices_every_byte(data: Command, bulbs: Path) -> None:
    data("import", str(bulbs), "--as", "bulbs", "--mpp", "3.5")
    first, second = data("verify", "bulbs"), data("verify", "bulbs")
    image = bulbs / "MOB2" / "HE.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (bulbs / "MOB3" / "HE.jpg").unlink()

    third = data("verify", "bulbs")

    assert (first.returncode, first.stdout) == (0, "bulbs: 0 files as recorded, 9 recorded now\n")
    assert (second.returncode, second.stdout) == (0, "bulbs: 9 files as recorded, 0 recorded now\n")
    assert third.returncode == 1
    assert third.stdout.splitlines() == [
        "bulbs: changed: MOB2/HE.jpg",
        "bulbs: missing: MOB3/HE.jpg",
        "bulbs: 7 files as recorded, 0 recorded now",
    ]
    image.write_bytes(whole)
    assert "bulbs: 8 files as recorded" in data("verify", "bulbs").stdout


def test_an_imported_slide_runs(stbench: Any, test_data: Path, tmp_path: Path) -> None:
    here = {"STBENCH_DATASETS": str(tmp_path / "definitions")}
    store = tmp_path / "store"
    made = stbench("data", "import", str(test_data / "mob" / "Rep11"), "--as", "bulb", **here)
    assert made.returncode == 0, made.stderr
    assert "stbench run -m mean -m ridge -d bulb" in made.stdout.replace("\n", " ")

    run = stbench("run", "-m", "mean", "-d", "bulb", "--folds", "block-1", store=store, **here)

    assert run.returncode == 0, run.stderr
    assert stbench.query("SELECT dataset, protocol, fold FROM cells", store) == [
        {"dataset": "bulb", "protocol": "stbench-blocks-v1", "fold": "block-1"}
    ]


def test_visium_hd_runs_are_imported_and_run(stbench: Any, tmp_path: Path) -> None:
    for patient, name in enumerate("AB"):
        write_hd_run(tmp_path / "runs" / name / "outs", (400, 320), (8, 16), patient=patient)
    (tmp_path / "runs" / "slides.csv").write_text(
        "slide,patient\n" + "".join(f"{name}-{um}um,{name}\n" for name in "AB" for um in ("008", "016"))
    )
    folders = {"STBENCH_DATASETS": str(tmp_path / "definitions"), "STBENCH_CACHE": str(tmp_path / "cache")}
    command = replace(stbench, env=stbench.env | folders)

    imported = command.json("data", "import", str(tmp_path / "runs"), "--as", "mine")
    store = tmp_path / "store"
    done = command("run", "-m", "mean", "-d", "mine", "-p", "pixnet-2025-clean", store=store)
    board = command.json("leaderboard", "-d", "mine", "-p", "pixnet-2025-clean", "--by", "spot_um", store=store)

    spots = {s["slide"]: s["spots"] for s in imported["slides"]}
    assert set(spots) == {"A-008um", "A-016um", "B-008um", "B-016um"}
    assert {s["layout"] for s in imported["slides"]} == {"visium-hd"}
    assert all(3 * spots[f"{name}-016um"] < spots[f"{name}-008um"] <= 4 * spots[f"{name}-016um"] for name in "AB")
    assert done.returncode == 0, done.stderr
    rows = board if isinstance(board, list) else board["rows"]
    assert {row["spot_um"] for row in rows} == {"8", "16"}
