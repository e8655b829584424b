"""docs/bad-input.md: every case is made here, with the sentence and the exit code the table promises."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stbench.registry import discover

TABLE = Path(__file__).parents[2] / "docs" / "bad-input.md"
ROWS = re.findall(r"^\| ([a-z0-9-]+) \| [^|]+ \| ([^|]+) \| (\d) \|$", TABLE.read_text(), re.MULTILINE)

Case = Callable[["Workshop"], list[str]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        CASES[name] = function
        return function

    return register


class Workshop:
    """A folder in which slides in the plain layout are made, whole ones and broken ones."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder = folder
        self.run = run
        self.store = folder / "store"

    def slide(self, name: str = "S1", *, counts: Any = None, step: int = 40, genes: str = "G") -> Path:
        """A 6 × 6 section: counts.tsv.gz, spots.csv, HE.png."""
        folder = self.folder / "slides" / name
        folder.mkdir(parents=True)
        row, col = np.divmod(np.arange(36), 6)
        names = [f"{x}x{y}" for x, y in zip(col + 1, row + 1, strict=True)]
        values = np.random.default_rng(0).poisson(30, (36, 8)) if counts is None else counts
        table = pd.DataFrame(values, index=names, columns=[f"{genes}{i}" for i in range(8)])
        table.to_csv(folder / "counts.tsv.gz", sep="\t")
        places = {"spot": names, "x": col + 1, "y": row + 1, "pixel_x": (col + 1) * step, "pixel_y": (row + 1) * step}
        pd.DataFrame(places).to_csv(folder / "spots.csv", index=False)
        noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "HE.jpg", quality=95)
        return folder

    def importing(self, folder: Path, *more: str) -> list[str]:
        return ["data", "import", str(folder), "--as", "mine", "--mpp", "5", *more]

    def imported(self, folder: Path) -> None:
        done = self.run(*self.importing(folder))
        assert done.returncode == 0, done.stderr
        discover.cache_clear()

    def running(self, *more: str) -> list[str]:
        return ["run", "-m", "mean", "-d", "mine", "--store", str(self.store), *more]


@pytest.fixture
def workshop(tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setenv("STBENCH_DATASETS", str(tmp_path / "definitions"))
    discover.cache_clear()
    yield Workshop(tmp_path, in_process)
    discover.cache_clear()


def counts_with(value: float) -> Any:
    values = np.full((36, 8), 30.0)
    values[3, 3] = value
    return values


@case("missing-data")
def missing_data(w: Workshop) -> list[str]:
    return ["run", "-m", "mean", "-d", "her2st", "--data-dir", str(w.folder), "--store", str(w.store)]


@case("unknown-model")
def unknown_model(w: Workshop) -> list[str]:
    return ["run", "-m", "ridgee", "-d", "simulated"]


@case("unknown-dataset")
def unknown_dataset(w: Workshop) -> list[str]:
    return ["run", "-m", "mean", "-d", "her2stt"]


@case("unknown-protocol")
def unknown_protocol(w: Workshop) -> list[str]:
    return ["run", "-m", "mean", "-d", "simulated", "-p", "stbench-v2"]


@case("unknown-metric")
def unknown_metric(w: Workshop) -> list[str]:
    return ["leaderboard", "--metric", "pc", "--store", str(w.store)]


@case("spots-outside")
def spots_outside(w: Workshop) -> list[str]:
    return w.importing(w.slide(step=60))


@case("other-scale")
def other_scale(w: Workshop) -> list[str]:
    return w.importing(w.slide(step=3))


@case("negative-counts")
def negative_counts(w: Workshop) -> list[str]:
    return w.importing(w.slide(counts=counts_with(-1)))


@case("fractional-counts")
def fractional_counts(w: Workshop) -> list[str]:
    return w.importing(w.slide(counts=counts_with(0.5)))


@case("duplicate-spots")
def duplicate_spots(w: Workshop) -> list[str]:
    folder = w.slide()
    text = gzip.decompress((folder / "counts.tsv.gz").read_bytes()).decode().splitlines()
    (folder / "counts.tsv.gz").write_bytes(gzip.compress("\n".join([*text, text[-1]]).encode()))
    return w.importing(folder)


@case("truncated-jpeg")
def truncated_jpeg(w: Workshop) -> list[str]:
    folder = w.slide()
    (folder / "HE.jpg").write_bytes((folder / "HE.jpg").read_bytes()[:-2000])
    return w.importing(folder)


@case("truncated-h5")
def truncated_h5(w: Workshop) -> list[str]:
    path = w.folder / "S.h5ad"
    anndata.AnnData(np.ones((4, 3), np.float32), obsm={"spatial": np.ones((4, 2))}).write_h5ad(path)
    path.write_bytes(path.read_bytes()[:3000])
    return w.importing(path)


@case("set-name")
def set_name(w: Workshop) -> list[str]:
    return ["run", "-m", "position", "-d", "simulated", "--set", "kk=3"]


@case("set-type")
def set_type(w: Workshop) -> list[str]:
    return ["run", "-m", "position", "-d", "simulated", "--set", "k=many"]


@case("not-a-select")
def not_a_select(w: Workshop) -> list[str]:
    return ["query", "DROP VIEW cells", "--store", str(w.store)]


@case("no-weights")
def no_weights(w: Workshop) -> list[str]:
    w.imported(w.slide())
    return ["run", "-m", "ridge", "-d", "mine", "--store", str(w.store)]


@case("one-patient")
def one_patient(w: Workshop) -> list[str]:
    w.imported(w.slide())
    return w.running("-p", "stbench-v1")


def scoring(w: Workshop, name: str = "theirs", **columns: Any) -> list[str]:
    """One row of predictions for the toy dataset, with some columns changed or (None) absent."""
    whole = {"fold": "P1", "slide": "P1-S1", "spot": "0x0", "gene": "ENSG00000000000", "y_pred": 1.0}
    row = {column: value for column, value in (whole | columns).items() if value is not None}
    path = w.folder / "predictions.csv"
    pd.DataFrame([row]).to_csv(path, index=False, na_rep="NaN")
    return ["score", str(path), "--as", name, "-d", "toy", "-p", "stbench-v1", "--store", str(w.store)]


@case("score-column")
def score_column(w: Workshop) -> list[str]:
    return scoring(w, y_pred=None)


@case("score-fold")
def score_fold(w: Workshop) -> list[str]:
    return scoring(w, fold="P9")


@case("score-spot")
def score_spot(w: Workshop) -> list[str]:
    return scoring(w, spot="AAACCTG-1")


@case("score-gene")
def score_gene(w: Workshop) -> list[str]:
    return scoring(w, gene="ERBB2")


@case("score-not-finite")
def score_not_finite(w: Workshop) -> list[str]:
    return scoring(w, y_pred=float("nan"))


@case("score-name")
def score_name(w: Workshop) -> list[str]:
    return scoring(w, name="ridge")


@case("task-folder")
def task_folder(w: Workshop) -> list[str]:
    w.slide()
    return ["task", "-d", "toy", "-o", str(w.folder)]


@pytest.mark.parametrize(("name", "sentence", "code"), [row for row in ROWS if row[0] in CASES])
def test_bad_input_is_one_sentence_and_its_code(
    name: str, sentence: str, code: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    done = workshop.run(*CASES[name](workshop))

    assert done.returncode == int(code), done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert sentence.strip() in errors[0]
    assert "Traceback" not in done.stderr
    assert not (workshop.store / "runs").exists()


def test_every_row_of_the_table_is_made_somewhere() -> None:
    here = {"empty-panel", "truncated-parquet"}  # the two below
    assert {row[0] for row in ROWS} == set(CASES) | here


def test_an_empty_panel_costs_the_cell_and_is_recorded(workshop: Workshop) -> None:
    workshop.slide("S1", genes="A")
    workshop.slide("S2", genes="B")
    workshop.slide("S3", genes="C")
    workshop.imported(workshop.folder / "slides")

    done = workshop.run(*workshop.running("--folds", "S1", "--device", "cpu"))

    assert done.returncode == 3
    assert "the panel is empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_parquet_leaves_the_rest_answering(workshop: Workshop) -> None:
    workshop.imported(workshop.slide())
    assert workshop.run(*workshop.running("--folds", "0,1", "--device", "cpu")).returncode == 0
    first, _ = sorted(workshop.store.glob("runs/*/*/*/*/moments.parquet"))
    first.write_bytes(first.read_bytes()[:100])

    done = workshop.run("query", "SELECT count(*) AS n FROM cells", "--store", str(workshop.store))

    assert done.returncode == 0
    assert "is damaged; the run was left out" in done.stderr
    assert "1" in done.stdout
    assert workshop.run("store", "verify", "--store", str(workshop.store)).returncode == 1
