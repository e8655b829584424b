"""`simulated` behaves like a published dataset: grown once, then read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse

from stbench.datasets import DatasetContext
from stbench.datasets.simulated.dataset import Simulated, _grow
from stbench.errors import DataError

IDS = [f"P{p}-S{s}" for p in range(1, 5) for s in (1, 2)]


@pytest.fixture(scope="session")
def simulated(cache_dir: Path) -> Simulated:
    return Simulated(DatasetContext(cache_dir))


def test_four_patients_with_two_sections_each(simulated: Simulated) -> None:
    infos = simulated.slides()

    assert [i.id for i in infos] == IDS
    assert [i.patient for i in infos] == [i.id[:2] for i in infos]
    assert {(i.grid, i.mpp, i.spot_um, i.has_image) for i in infos} == {("hex", 1.0, 55.0, True)}
    assert len({i.image_id for i in infos}) == 8


def test_metadata_need_no_data(tmp_path: Path) -> None:
    Simulated(DatasetContext(tmp_path)).slides()

    assert [*tmp_path.iterdir()] == []


def test_a_slide_has_counts_their_expectation_and_an_image(simulated: Simulated) -> None:
    slide = simulated.load("P2-S1")

    counts, expected = slide.adata.X, slide.adata.layers["expected"]
    assert issparse(counts)
    assert (counts.data >= 0).all()
    assert (counts.data == np.floor(counts.data)).all()
    assert slide.adata.n_vars == 300
    assert 200 < slide.n_spots < 300
    assert expected.shape == counts.shape
    assert (expected >= 0).all()
    assert counts.toarray().mean() == pytest.approx(expected.mean(), rel=0.15)
    assert np.corrcoef(counts.toarray().ravel(), expected.ravel())[0, 1] > 0.7
    assert slide.adata.obs["region"].notna().all()
    assert slide.patches(pixels=16, microns=55).shape == (slide.n_spots, 16, 16, 3)
    assert np.bincount(slide.neighbours()[0]).max() == 6


def test_the_second_time_it_is_only_read(simulated: Simulated, cache_dir: Path) -> None:
    revision = simulated.revision
    grown = sorted((cache_dir / "simulated").rglob("P*"))
    times = [p.stat().st_mtime_ns for p in grown]

    again = Simulated(DatasetContext(cache_dir))

    assert again.revision == revision
    assert [f.name for f in again.files()] == IDS
    assert [p.stat().st_mtime_ns for p in grown] == times
    assert len(grown) == 3 * 8


def test_growing_again_gives_the_same_section(simulated: Simulated, tmp_path: Path) -> None:
    _grow(2, 1, tmp_path, "P3-S2")

    files = {f.name: f.sha256 for f in simulated.files()}
    assert (tmp_path / "P3-S2.sha256").read_text() == files["P3-S2"]
    assert len(set(files.values())) == 8


def test_a_section_whose_growth_was_interrupted_is_grown_again(simulated: Simulated, cache_dir: Path) -> None:
    digest = {f.name: f.sha256 for f in simulated.files()}["P1-S1"]
    (folder,) = (cache_dir / "simulated").iterdir()
    (folder / "P1-S1.sha256").unlink()
    (folder / "P1-S1.tif").write_bytes(b"half")

    again = Simulated(DatasetContext(cache_dir))

    assert {f.name: f.sha256 for f in again.files()}["P1-S1"] == digest
    assert again.load("P1-S1").image.size == (1280, 1280)


def test_an_unknown_slide_is_named(simulated: Simulated) -> None:
    with pytest.raises(DataError, match="simulated has no slide 'P9-S1'; it has P1-S1, P1-S2"):
        simulated.load("P9-S1")
