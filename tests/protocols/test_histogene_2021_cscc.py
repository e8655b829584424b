"""histogene-2021 on cscc: the panel by path, 12 folds, the target, and what is said where the panel is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_sections import publish_cscc

from stbench.datasets import DatasetContext, cscc
from stbench.errors import DataError, NotApplicable
from stbench.matrix.tasks import overlaps, plan_tasks
from stbench.protocols import FittedProtocol
from stbench.protocols.histogene_2021 import CSCC_PANEL, CSCC_SECTIONS, HISTOGENE_2021
from stbench.registry import discover
from stbench.testing import check_protocol

PANEL = [f"G{i}" for i in range(37, 1, -3)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 12 sections, without the panel."""
    folder = tmp_path_factory.mktemp("published")
    for n, section in enumerate(CSCC_SECTIONS):
        publish_cscc(folder, section, seed=n, gsm=4284316 + n)
    return folder


@pytest.fixture
def data_dir(original: Path, tmp_path: Path) -> Path:
    """A folder in which files can be added, with the panel."""
    folder = tmp_path / "given" / "cscc"
    folder.mkdir(parents=True)
    for path in original.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / CSCC_PANEL[1]).write_text("\n".join(PANEL) + "\n")
    return folder.parent


def opened(data_dir: Path, cache_dir: Path) -> cscc.CSCC:
    return cscc.CSCC(DatasetContext(cache_dir, data_dir))


def fitted(dataset: cscc.CSCC) -> FittedProtocol:
    slides = [HISTOGENE_2021.filter(dataset.load(name)) for name in CSCC_SECTIONS[:3]]
    return HISTOGENE_2021.fit(slides[1:], lambda: slides)


def test_the_published_folds_are_the_12_sections_in_order(data_dir: Path, cache_dir: Path) -> None:
    infos = opened(data_dir, cache_dir).slides()

    folds = HISTOGENE_2021.complete_folds(infos[::-1])

    assert [fold.id for fold in folds] == [f"P{p}_ST_rep{n}" for p in (2, 5, 9, 10) for n in (1, 2, 3)]
    for fold in folds:
        assert [part.slide for part in fold.test] == [fold.id]
        assert [part.slide for part in fold.train] == [name for name in CSCC_SECTIONS if name != fold.id]
        assert fold.validation == ()
    shared = {kind for fold in folds for kind in overlaps(fold, {info.id: info for info in infos})}
    assert shared == {"same_patient"}


def test_the_panel_is_the_files_in_its_order(data_dir: Path, cache_dir: Path) -> None:
    dataset = opened(data_dir, cache_dir)
    slide = dataset.load("P2_ST_rep1")

    prepared = fitted(dataset).transform(HISTOGENE_2021.filter(slide))

    assert list(prepared.adata.var_names) == PANEL
    counts = slide.adata[:, PANEL].X.toarray().astype(float)
    expected = np.log10(1 + 1e4 * counts / counts.sum(1, keepdims=True))
    np.testing.assert_allclose(prepared.target, expected, rtol=1e-5)
    assert prepared.n_spots == slide.n_spots  # no spot is filtered out
    assert prepared.measured.all()


def test_patches_are_the_slices_the_authors_cut(data_dir: Path, cache_dir: Path) -> None:
    slide = HISTOGENE_2021.filter(opened(data_dir, cache_dir).load("P2_ST_rep1"))

    patches = slide.patches(pixels=112, microns=76.8)

    inner = [i for i, (x, y) in enumerate(slide.centers_px) if 56 <= x < 244 and 56 <= y < 254]
    assert len(inner) > 50
    for spot in inner:
        x, y = np.floor(slide.centers_px[spot]).astype(int)
        np.testing.assert_array_equal(patches[spot], slide.image.read(x - 56, y - 56, 112, 112))


def test_a_panel_by_path_is_planned_and_another_list_makes_other_cells(data_dir: Path, cache_dir: Path) -> None:
    context = DatasetContext(cache_dir, data_dir)

    first = plan_tasks(["cscc"], ["histogene-2021"], "0,11", discover(), context)
    (data_dir / "cscc" / CSCC_PANEL[1]).write_text("\n".join(PANEL[1:]))
    second = plan_tasks(["cscc"], ["histogene-2021"], "0,11", discover(), context)

    assert [task.fold.id for task in first.folds] == ["P2_ST_rep1", "P10_ST_rep3"]
    assert first.folds[0].dataset_revision != second.folds[0].dataset_revision


def test_without_the_panel_nothing_is_planned_and_the_reason_says_where_to_put_it(
    data_dir: Path, cache_dir: Path
) -> None:
    (data_dir / "cscc" / CSCC_PANEL[1]).unlink()

    tasks = plan_tasks(
        ["cscc"], ["histogene-2021", "stbench-v1"], None, discover(), DatasetContext(cache_dir, data_dir)
    )

    assert {task.protocol for task in tasks.folds} == {"stbench-v1"}
    (skipped,) = tasks.skipped
    assert skipped.reason == (
        f"histogene-2021 does not apply: cscc in {data_dir}/cscc comes without skin_hvg_cut_1000.npy or "
        "skin_hvg_cut_1000.txt; put skin_hvg_cut_1000.npy, which the repositories of Hist2ST, THItoGene and HGGEP have "
        "in data/, or its 171 genes one a line in skin_hvg_cut_1000.txt, into the data set's folder and run the "
        "command again, or use -p stbench-v1"
    )


def test_slides_that_carry_no_panel_cannot_be_fitted(data_dir: Path, cache_dir: Path) -> None:
    (data_dir / "cscc" / CSCC_PANEL[1]).unlink()

    with pytest.raises(DataError, match=r"cscc comes without the panel of genes; put skin_hvg_cut_1000\.npy, which"):
        fitted(opened(data_dir, cache_dir))


def test_a_list_of_another_data_set_is_noticed(data_dir: Path, cache_dir: Path) -> None:
    (data_dir / "cscc" / CSCC_PANEL[1]).write_text("\n".join(["G1", *(f"GNAS{i}" for i in range(7))]))

    message = r"7 of the 8 genes of cscc's panel are in none of its sections \(GNAS0, .*GNAS4, …\); the list may be an"
    with pytest.raises(DataError, match=message):
        fitted(opened(data_dir, cache_dir))


def test_the_published_list_names_171_genes(data_dir: Path, test_data: Path, cache_dir: Path) -> None:
    published = test_data / "reference" / "cscc_panel_171.txt"
    (data_dir / "cscc" / CSCC_PANEL[1]).write_bytes(published.read_bytes())

    panel = opened(data_dir, cache_dir).load("P2_ST_rep1").adata.uns["panel"]

    assert panel == published.read_text().split()
    assert len(panel) == 171


def test_sections_of_that_name_elsewhere_are_not_cscc(data_dir: Path, cache_dir: Path) -> None:
    infos = [replace(info, dataset="mine") for info in opened(data_dir, cache_dir).slides()]

    with pytest.raises(NotApplicable, match="it is the task of the HER2"):
        HISTOGENE_2021.folds(infos)


def test_the_protocol_keeps_its_contract(data_dir: Path, cache_dir: Path) -> None:
    dataset = opened(data_dir, cache_dir)

    report = check_protocol("histogene-2021", slides=[dataset.load(name) for name in CSCC_SECTIONS])

    assert {o.status for o in report.outcomes} == {"passed"}


def test_dataset_and_protocol_name_the_same_files() -> None:
    assert (cscc.CSCC.name, cscc.PANEL_FILES) == ("cscc", CSCC_PANEL)
