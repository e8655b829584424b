"""The page in a real browser, opened from disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, open_browser

from stbench.datasets import DatasetContext
from stbench.registry import discover
from stbench.report.page import page_content, render
from stbench.store import Store

MODELS = "#board tbody th"
PHONE = 390


@pytest.fixture(scope="module")
def page(told: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render(page_content(Store(told), discover(), DatasetContext(cache_dir))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    browser.resize(1280, 900)
    browser.open(page)
    yield browser
    assert browser.console() == []


def models(browser: Browser) -> list[str]:
    return [text.split("control")[0] for text in browser.texts(MODELS)]


def drawn(browser: Browser) -> list[str]:
    """Digest of the picture on each canvas of the maps."""
    urls = browser.run("[...document.querySelectorAll('#map-panels canvas')].map((c) => c.toDataURL())")
    return [hashlib.sha256(url.encode()).hexdigest() for url in urls]


def test_every_section_is_filled(opened: Browser) -> None:
    for section in (
        "leaderboard",
        "intervals",
        "ranks",
        "cost",
        "genes",
        "maps",
        "regions",
        "ledger",
        "failures",
        "about",
    ):
        assert opened.run(f"document.querySelectorAll('#{section} :is(td, svg text, canvas)').length") > 0, section
    assert "ARI 1.00" in opened.texts("#region-panels figcaption small")
    assert opened.texts("#failure-list tbody tr")[0].endswith("fitValueError: norun-lost")


def test_a_click_sorts_and_a_second_one_turns_the_order(opened: Browser) -> None:
    ranked = models(opened)
    assert ranked[0] == "good"

    opened.click('[data-sort="fit_seconds"]')
    cheapest_first = models(opened)
    opened.click('[data-sort="fit_seconds"]')

    assert cheapest_first == ["good", "poor note=</script><b>bold</b>", "poor note=plain", "flat"]
    assert models(opened) == cheapest_first[::-1]
    assert opened.run("document.querySelector('[aria-sort]').textContent") == "Train s"
    assert opened.run("document.activeElement.dataset.sort") == "fit_seconds"


def test_the_filter_and_the_controls_box_thin_the_table_and_the_plots(opened: Browser) -> None:
    opened.type("#filter", "poor plain")

    assert models(opened) == ["poor note=plain"]
    assert opened.texts("#count") == ["1 of 4 models"]
    assert opened.run("document.querySelectorAll('#interval-plot circle').length") == 1

    opened.run("document.querySelector('#filter').value = ''")
    opened.type("#filter", " ")
    opened.click("#controls")

    assert "flat" not in models(opened)
    assert len(models(opened)) == 3


def test_another_gene_and_slide_draw_other_maps(opened: Browser) -> None:
    first = drawn(opened)
    assert len(first) == 5  # truth and four models: no image is here
    assert "unknown dataset 'hand'" in opened.texts("#map-notes")[0]

    gene = next(
        value for value in opened.texts("#gene option") if value != opened.run("document.querySelector('#gene').value")
    )
    opened.choose("#gene", gene)
    second = drawn(opened)
    opened.choose("#slide", "2")

    assert second[0] != first[0]
    assert drawn(opened)[0] != second[0]
    assert opened.run("new URLSearchParams(location.hash.slice(1)).get('gene')") == gene


def test_what_was_predicted_between_the_spots_has_a_panel_of_its_own(browser: Browser, page: Path) -> None:
    browser.open(page, "#task=0&slide=2&gene=G2")

    captions = browser.texts("#map-panels figcaption")
    assert len(drawn(browser)) == 6
    assert captions[2] == "good, between the spots24 squares of 0.5 µm"
    assert len(set(drawn(browser)[:3])) == 3


def test_the_address_brings_back_what_was_chosen(browser: Browser, page: Path) -> None:
    browser.open(page, "#task=0&metric=mse&slide=1&gene=G3")

    assert browser.run("document.querySelector('#metric').value") == "mse"
    assert browser.run("document.querySelector('#gene').value") == "G3"
    assert browser.run("document.querySelector('#slide').value") == "1"


def test_a_model_can_be_taken_off_the_maps(opened: Browser) -> None:
    opened.click("#map-models input")

    assert len(drawn(opened)) == 4


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(dark: bool, browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.resize(PHONE, 844, dark)
    browser.open(page)

    assert browser.run("document.documentElement.scrollWidth") == PHONE
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000
    browser.click("#theme")
    assert browser.run("getComputedStyle(document.body).backgroundColor") != ground
    assert browser.console() == []
