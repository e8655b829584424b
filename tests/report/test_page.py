"""What the page holds, without a browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import between

from stbench.datasets import DatasetContext
from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.report.page import Limits, page_content, render
from stbench.report.page.genes import choose_genes
from stbench.store import Store


@pytest.fixture(scope="module")
def content(told: Path, cache_dir: Path) -> dict[str, Any]:
    return page_content(Store(told), discover(), DatasetContext(cache_dir))


@pytest.fixture(scope="module")
def page(content: dict[str, Any]) -> str:
    return render(content)


def embedded(page: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def levels(column: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(column["levels"]), np.uint8)


def test_the_numbers_are_the_leaderboards(content: dict[str, Any], told: Path) -> None:
    (task,) = content["tasks"]

    rows = {
        (r["metric"], r["model"], r["params"].get("note", "")): r for r in leaderboard(Store(told), discover()).rows
    }
    assert task["headline"] == "pcc"
    assert len(rows) == sum(row is not None for metric in task["metrics"].values() for row in metric["rows"])
    for metric, shown in task["metrics"].items():
        for variant, row in zip(task["variants"], shown["rows"], strict=True):
            expected = rows[metric, variant["model"], variant["params"].get("note", "")]
            assert row == pytest.approx({name: expected[name] for name in row}, nan_ok=True)


def test_variants_stand_in_the_order_of_the_headline(content: dict[str, Any]) -> None:
    (task,) = content["tasks"]

    ranks = [row["rank"] for row in task["metrics"]["pcc"]["rows"]]

    assert ranks == sorted(ranks)
    assert task["variants"][0]["name"] == "good"


def test_a_map_gives_back_truth_and_prediction_to_one_level(content: dict[str, Any], told: Path) -> None:
    (task,) = content["tasks"]
    slide = next(s for s in task["slides"] if s["id"] == "B1")
    sql = "SELECT t.y_true, p.y_pred FROM truth t JOIN predictions p USING (truth_key, fold, gene, spot_row)"
    rows = Store(told).query(f"{sql} WHERE t.slide = 'B1' AND gene = 'G2' AND model = 'good' ORDER BY spot_row")

    gene = slide["genes"]["G2"]

    good = next(v["key"] for v in task["variants"] if v["model"] == "good")
    for column, values in ((gene["truth"], rows["y_true"]), (gene["models"][good], rows["y_pred"])):
        drawn = column["low"] + levels(column) / 254 * (column["high"] - column["low"])
        assert drawn == pytest.approx(values.to_numpy(), abs=(column["high"] - column["low"]) / 254)
    assert gene["models"][good]["pcc"] == pytest.approx(np.corrcoef(rows["y_true"], rows["y_pred"])[0, 1], abs=1e-3)


def test_what_was_predicted_between_the_spots_is_drawn(content: dict[str, Any]) -> None:
    (task,) = content["tasks"]
    good = next(v["key"] for v in task["variants"] if v["model"] == "good")
    slides = {slide["id"]: slide for slide in task["slides"]}

    (fine,) = slides["B1"]["fine"].values()

    points = between()
    assert list(slides["B1"]["fine"]) == [good]
    assert fine["side_um"] == 0.5
    assert len(fine["x"]) == 24  # the one beyond the picture is left out
    assert np.diff(fine["x"]) == pytest.approx(np.full(23, np.diff(slides["B1"]["x"])[0] / 2), abs=0.15)
    assert fine["radius"] == pytest.approx(np.diff(fine["x"]).mean() / 2, rel=0.02)
    column = fine["genes"]["G2"]
    values = column["low"] + levels(column) / 254 * (column["high"] - column["low"])
    assert values == pytest.approx(points.mean[:24, 1], abs=(column["high"] - column["low"]) / 254)
    assert slides["A1"]["fine"] == {}


def test_named_genes_are_drawn_whatever_their_rank(told: Path, cache_dir: Path) -> None:
    limits = Limits(genes=2, named_genes=("G3", "G9"))

    content = page_content(Store(told), discover(), DatasetContext(cache_dir), limits)

    (task,) = content["tasks"]
    genes = list(task["slides"][0]["genes"])
    assert genes[0] == "G3"
    assert len(genes) == 2
    assert content["about"]["left_out"] == ["gene G9 is in no panel here"]


def test_regions_are_clustered_without_the_undetermined(content: dict[str, Any]) -> None:
    (task,) = content["tasks"]

    by_slide = {slide["id"]: slide["regions"] for slide in task["slides"]}

    assert by_slide["A1"]["labels"] == ["inner", "outer"]
    assert by_slide["A1"]["codes"] == [0] * 6 + [1] * 5 + [-1]
    assert by_slide["A1"]["maps"][""] == {"ari": 1.0, "codes": [0] * 6 + [1] * 5 + [-1]}
    flat = next(v["key"] for v in task["variants"] if v["model"] == "flat")
    assert by_slide["A1"]["maps"][flat]["ari"] == 0
    assert by_slide["B1"]["labels"] == ["lower", "upper"]


def test_what_cannot_be_drawn_is_said(told: Path, cache_dir: Path) -> None:
    content = page_content(Store(told), discover(), DatasetContext(cache_dir), Limits(slides=2, genes=1, models=1))

    (task,) = content["tasks"]
    assert [slide["id"] for slide in task["slides"]] == ["A1", "B1"]  # one of each patient first
    assert content["about"]["left_out"] == ["hand under stbench-v1: maps of 2 of 4 slides"]
    assert "unknown dataset 'hand'" in task["slides"][0]["image_missing"]
    assert [len(gene["models"]) for gene in task["slides"][0]["genes"].values()] == [1]


def test_failures_are_listed_without_their_traceback(page: str) -> None:
    (failure,) = embedded(page)["failures"]

    assert (failure["model"], failure["stage"], failure["message"]) == ("lost", "fit", "ValueError: no")
    assert "Traceback" not in page


def test_nothing_from_the_data_is_markup(page: str) -> None:
    assert "<b>bold" not in page
    assert page.count("</script>") == 2  # the data's and the code's own
    assert any("</script><b>bold</b>" in v["name"] for v in embedded(page)["tasks"][0]["variants"])


def test_the_page_refers_to_nothing_outside(page: str) -> None:
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    assert not re.findall(r"<link[^>]+stylesheet|<script[^>]+src=|@import", page)


def test_an_empty_store_makes_a_page_that_says_so(tmp_path: Path, cache_dir: Path) -> None:
    page = render(page_content(Store(tmp_path / "none"), discover(), DatasetContext(cache_dir)))

    assert "no finished run yet" in page
    assert embedded(page)["tasks"] == []


@pytest.mark.parametrize(
    ("limit", "chosen"), [(9, list("abcdefgh")), (6, list("abcegh")), (3, list("abh")), (1, ["a"])]
)
def test_genes_are_chosen_from_both_ends_and_between(limit: int, chosen: list[str]) -> None:
    genes = list("hgfedcbaz")
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, None]

    assert choose_genes(genes, values, limit) == chosen
