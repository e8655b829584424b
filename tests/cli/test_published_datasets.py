"""Data sets in the layouts others published, from the command line: what is here, and a run on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_sections import publish_cscc, publish_stnet, publish_visium, unpack_visium

SUITES = Path(__file__).parents[2] / "benchmarks/suites"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """visium, stnet and cscc in one folder, as ``STBENCH_DATA`` may hold them."""
    folder = tmp_path_factory.mktemp("data")
    for n in (1, 2):
        sample = publish_visium(folder / "published", f"V1_Breast_Cancer_Block_A_Section_{n}", n)
        unpack_visium(sample, folder / "visium" / f"Section_{n}")
    for patient in ("23287", "23450"):
        publish_stnet(folder / "stnet", patient, "C1", int(patient))
    for n, section in enumerate(("P2_ST_rep1", "P5_ST_rep3")):
        publish_cscc(folder / "cscc", section, n, 4284316 + n)
    return folder


def test_status_says_what_is_here_and_where_the_rest_would_come_from(stbench: Any, data_dir: Path) -> None:
    names = ("visium", "stnet", "cscc", "her2st")

    rows = {row["dataset"]: row for row in stbench.json("data", "status", *names, "--data-dir", str(data_dir))}

    here = {name: (rows[name]["state"], rows[name]["slides"], rows[name]["folder"]) for name in names[:3]}
    assert here == {
        "visium": ("here", 2, str(data_dir / "visium")),
        "stnet": ("here", 2, str(data_dir / "stnet")),
        "cscc": ("here", 2, str(data_dir / "cscc")),
    }
    assert rows["her2st"]["state"] == "not here"
    assert all("not verified" in row["from"] for row in rows.values())


def test_a_run_on_every_fold_of_the_default_protocols(stbench: Any, data_dir: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    names = ("-d", "visium", "-d", "stnet", "-d", "cscc")
    run = stbench("run", "-m", "mean", *names, "--data-dir", str(data_dir), store=store)

    assert run.returncode == 0, run.stderr
    cells = stbench.query("SELECT dataset, protocol, fold, status FROM cells ORDER BY dataset, fold", store)
    assert [tuple(cell.values()) for cell in cells] == [
        ("cscc", "stbench-v1", "P2", "ok"),
        ("cscc", "stbench-v1", "P5", "ok"),
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


def test_a_published_panel_that_is_missing_is_one_sentence_and_runs_once_it_is_there(
    stbench: Any, data_dir: Path, tmp_path: Path
) -> None:
    store, folder = tmp_path / "store", tmp_path / "data"
    shutil.copytree(data_dir / "cscc", folder / "cscc")
    command = ("run", "-m", "mean", "-d", "cscc", "-p", "histogene-2021", "--data-dir", str(folder))

    without = stbench(*command, store=store)
    (folder / "cscc" / "skin_hvg_cut_1000.txt").write_text("G3\nG7\nG30\n")
    with_it = stbench(*command, store=store)

    assert without.returncode == 2
    assert "put skin_hvg_cut_1000.npy, which the repositories of Hist2ST, THItoGene and HGGEP have in" in without.stderr
    assert with_it.returncode == 0, with_it.stderr
    cells = stbench.query("SELECT fold, status FROM cells ORDER BY fold", store)
    assert [tuple(cell.values()) for cell in cells] == [("P2_ST_rep1", "ok"), ("P5_ST_rep3", "ok")]
    genes = stbench.query("SELECT DISTINCT gene FROM moments ORDER BY gene", store)
    assert [row["gene"] for row in genes] == ["G3", "G30", "G7"]
    (ledger,) = {json.dumps(record["ledger"]) for record in records(store)}
    assert json.loads(ledger) | {"same_patient": "no", "target_saw_test": "yes"} == json.loads(ledger)


def records(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in store.glob("runs/*/*/*/*/run.json")]


def test_a_folder_without_cscc_is_one_sentence_with_every_file(stbench: Any, tmp_path: Path) -> None:
    run = stbench("run", "-m", "mean", "-d", "cscc", "--data-dir", str(tmp_path), store=tmp_path / "store")

    assert run.returncode == 1
    (error,) = [line for line in run.stderr.splitlines() if not line.startswith("warning: ")]
    assert error.startswith(f"error: cscc: {tmp_path} does not hold counts (P2_ST_rep1_stdata.tsv.gz), spots (spot_da")
