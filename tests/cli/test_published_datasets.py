"""Data sets in the layouts others published, from the command line: what is here, and a run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_sections import publish_stnet, publish_visium, unpack_visium

SUITES = Path(__file__).parents[2] / "benchmarks/suites"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """visium and stnet in one folder, as ``STBENCH_DATA`` may hold them."""
    folder = tmp_path_factory.mktemp("data")
    for n in (1, 2):
        sample = publish_visium(folder / "published", f"V1_Breast_Cancer_Block_A_Section_{n}", n)
        unpack_visium(sample, folder / "visium" / f"Section_{n}")
    for patient in ("23287", "23450"):
        publish_stnet(folder / "stnet", patient, "C1", int(patient))
    return folder


def test_status_says_what_is_here_and_where_the_rest_would_come_from(stbench: Any, data_dir: Path) -> None:
    names = ("visium", "stnet", "her2st")

    rows = {row["dataset"]: row for row in stbench.json("data", "status", *names, "--data-dir", str(data_dir))}

    here = {name: (rows[name]["state"], rows[name]["slides"], rows[name]["folder"]) for name in ("visium", "stnet")}
    assert here == {
        "visium": ("here", 2, str(data_dir / "visium")),
        "stnet": ("here", 2, str(data_dir / "stnet")),
    }
    assert rows["her2st"]["state"] == "not here"
    assert all("not verified" in row["from"] for row in rows.values())


def test_a_run_on_every_fold_of_the_default_protocols(stbench: Any, data_dir: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    run = stbench("run", "-m", "mean", "-d", "visium", "-d", "stnet", "--data-dir", str(data_dir), store=store)

    assert run.returncode == 0, run.stderr
    cells = stbench.query("SELECT dataset, protocol, fold, status FROM cells ORDER BY dataset, fold", store)
    assert [tuple(cell.values()) for cell in cells] == [
        ("stnet", "stbench-v1", "BC23287", "ok"),
        ("stnet", "stbench-v1", "BC23450", "ok"),
        ("visium", "stbench-section-v1", "Section_1", "ok"),
        ("visium", "stbench-section-v1", "Section_2", "ok"),
    ]


def test_a_folder_without_the_data_set_is_one_sentence(stbench: Any, tmp_path: Path) -> None:
    run = stbench("run", "-m", "mean", "-d", "visium", "--data-dir", str(tmp_path), store=tmp_path / "store")

    assert run.returncode == 1
    (error,) = [line for line in run.stderr.splitlines() if not line.startswith("warning: ")]
    assert error.startswith(f"error: visium: {tmp_path} does not hold Section_1/ with V1_Breast_Cancer_Block_A_")


def test_the_suite_of_sepal_plans_both_tables(stbench: Any, data_dir: Path, tmp_path: Path) -> None:
    suite = str(SUITES / "sepal-2023.yaml")

    planned = stbench.json("run", "--suite", suite, "-d", "visium", "--dry-run", "--data-dir", str(data_dir))

    variants = [(cell["model"], cell["preset"], cell["protocol"]) for cell in planned["cells"]]
    assert variants == [
        ("sepal", "visium", "sepal-2023"),
        ("st-net", "sepal", "sepal-2023"),
        ("histogene", "", "sepal-2023"),
        ("mean", "", "sepal-2023"),
        ("sepal", "stnet", "sepal-2023"),
        ("vit", "visium", "sepal-2023"),
        ("vit-delta", "visium", "sepal-2023"),
        ("vit-delta-s7", "visium", "sepal-2023"),
    ]
