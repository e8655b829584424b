"""Steps of sepal-2023 against slow definitions, and what its two variants look at."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from stbench.errors import DataError, NotApplicable
from stbench.protocols.combat import ComBat
from stbench.protocols.denoise import AdaptiveMedian
from stbench.protocols.expressed import ExpressedGenes, SpotCounts
from stbench.protocols.gene_lengths import ANNOTATIONS, exon_union, gene_lengths
from stbench.protocols.protocol import Protocol
from stbench.protocols.sepal_2023 import SEPAL_2023, SEPAL_2023_CLEAN
from stbench.protocols.sepal_splits import STNET_TEST, STNET_TRAIN, STNET_VALIDATION
from stbench.protocols.tpm import Log2, PanelTPM
from stbench.slides import Slide, SlideInfo

GENES = [f"G{i}" for i in range(8)]


def section(seed: int, patient: str = "P", genes: list[str] = GENES, dataset: str = "d", depth: float = 6.0) -> Slide:
    rng = np.random.default_rng(seed)
    row, col = (a.ravel() for a in np.mgrid[:9, :9])
    rate = depth * np.exp(np.outer(np.sin(row / 2), np.linspace(1, -2, len(genes))))
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"{r}x{c}" for r, c in zip(row, col, strict=True)])
    var = pd.DataFrame({"symbol": genes}, index=pd.Index(genes))
    centers = np.column_stack([col, row]) * 100.0
    adata = AnnData(csr_matrix(rng.poisson(rate).astype(np.int32)), obs=obs, var=var, obsm={"spatial": centers})
    return Slide(adata, SlideInfo(id=f"{patient}-{seed}", patient=patient, dataset=dataset, grid="square", mpp=1.0))


def counts_of(slide: Slide) -> np.ndarray:
    return np.asarray(slide.adata.X.toarray(), float)


def test_bounds_on_spots_are_strict() -> None:
    slide = section(0)
    total = np.sort(counts_of(slide).sum(1))

    kept = SpotCounts(int(total[3]), int(total[-3])).transform(slide, {})

    expected = (counts_of(slide).sum(1) > total[3]) & (counts_of(slide).sum(1) < total[-3])
    assert list(kept.adata.obs_names) == list(slide.adata.obs_names[expected])


def test_genes_are_kept_by_totals_and_by_their_share_in_each_slide_and_over_all() -> None:
    slides = [section(0), section(1, depth=2.0)]
    step = ExpressedGenes(above=100, below=1500, min_share=0.5, min_share_pooled=0.7)
    expected = []
    for g, gene in enumerate(GENES):
        columns = [counts_of(slide)[:, g] for slide in slides]
        total, pooled = sum(c.sum() for c in columns), np.mean(np.concatenate(columns) > 0)
        if 100 < total < 1500 and min((c > 0).mean() for c in columns) > 0.5 and pooled > 0.7:
            expected.append(gene)

    state = step.fit(slides)

    assert 0 < len(expected) < len(GENES)
    assert state["genes"] == expected
    assert list(step.transform(slides[1], state).adata.var_names) == expected


def test_spots_without_a_count_of_a_kept_gene_are_dropped() -> None:
    slide = section(0)
    counts = slide.adata.X.toarray()
    counts[4, :2] = 0
    slide.adata.X = csr_matrix(counts)

    kept = ExpressedGenes(0, 10**6, 0, 0).transform(slide, {"genes": GENES[:2]})

    assert "0x4" not in kept.adata.obs_names
    assert kept.n_spots == 80


def test_too_shallow_data_say_so() -> None:
    with pytest.raises(DataError, match=r"no gene is left: of 8 .* too shallow"):
        ExpressedGenes(10**6, 10**7, 0.8, 0.8).fit([section(0)])


def test_counts_per_million_where_genes_have_no_ensembl_ids() -> None:
    slide, step = section(0), PanelTPM()
    counts = counts_of(slide)

    made = Log2().transform(step.transform(slide, step.fit([slide])), {})

    by_hand = [[np.log2(1 + 1e6 * c / spot.sum()) for c in spot] for spot in counts]
    np.testing.assert_allclose(made.target, by_hand, rtol=1e-6)


GTF = """\
##description: made by hand
chr1\tX\tgene\t1\t900\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "A";
chr1\tX\texon\t101\t200\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "A";
chr1\tX\texon\t150\t249\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "A";
chr1\tX\texon\t160\t170\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "A";
chr1\tX\texon\t500\t500\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "A";
chrX\tX\texon\t1\t10\t.\t+\t.\tgene_id "ENSG00000000002.1"; gene_name "B";
chrY\tX\texon\t1\t99\t.\t+\t.\tgene_id "ENSG00000000002.1_PAR_Y"; gene_name "B";
"""


def test_lengths_are_the_union_of_exons() -> None:
    covered = {
        base for start, stop in ((101, 200), (150, 249), (160, 170), (500, 500)) for base in range(start, stop + 1)
    }

    assert exon_union(GTF.splitlines()) == {"ENSG00000000001": len(covered), "ENSG00000000002": 10}


def test_tpm_divides_by_length_and_drops_genes_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STBENCH_DATA", str(tmp_path))
    (tmp_path / ANNOTATIONS[0].file).write_bytes(gzip.compress(GTF.encode()))
    genes = ["ENSG00000000001.7", "ENSG00000000009", "ENSG00000000002"]
    slide, step = section(0, genes=genes), PanelTPM()

    state = step.fit([slide])
    made = step.transform(slide, state)

    assert state == {"genes": [genes[0], genes[2]], "lengths": [150, 10]}
    rate = counts_of(slide)[:, [0, 2]] / [150, 10]
    np.testing.assert_allclose(made.target, 1e6 * rate / rate.sum(1, keepdims=True), rtol=1e-6)
    (tmp_path / ANNOTATIONS[0].file).unlink()
    assert gene_lengths(genes) == {genes[0]: 150, genes[2]: 10}  # from the cache


def test_a_damaged_annotation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STBENCH_DATA", str(tmp_path))
    (tmp_path / ANNOTATIONS[0].file).write_bytes(gzip.compress(GTF.encode())[:40])

    with pytest.raises(DataError, match=rf"{ANNOTATIONS[0].file} is damaged"):
        gene_lengths(["ENSG00000000001"])


@pytest.mark.parametrize("windows", ["rings", "hops"])
def test_filled_zeros_were_not_measured(windows: str) -> None:
    slide = PanelTPM("none").transform(section(0, depth=0.7), {"genes": GENES, "lengths": None})

    made = AdaptiveMedian(windows=windows).transform(slide, {})

    np.testing.assert_array_equal(made.measured, slide.target > 0)
    np.testing.assert_array_equal(made.target[made.measured], slide.target[made.measured])
    assert (made.target[:, :4] > 0).all()


def prepared(seed: int, patient: str, shift: float) -> Slide:
    slide = section(seed, patient)
    adata = slide.adata.copy()
    adata.X = (np.log1p(counts_of(slide)) * (1 + shift / 4) + shift).astype(np.float32)
    return slide.with_adata(adata)


def test_combat_is_scanpys_slide_by_slide() -> None:
    import scanpy as sc

    slides = [prepared(0, "A", 0.0), prepared(1, "A", 0.1), prepared(2, "B", 1.5), prepared(3, "C", -0.5)]
    together = AnnData(np.concatenate([s.target for s in slides]).astype(float))
    together.obs["batch"] = pd.Categorical(np.repeat([s.info.patient for s in slides], [s.n_spots for s in slides]))
    expected = sc.pp.combat(together, key="batch", inplace=False)

    state = ComBat(by="patient").fit(slides)
    made = np.concatenate([ComBat(by="patient").transform(slide, state).target for slide in slides])

    np.testing.assert_allclose(made, expected, atol=2e-5)
    assert ComBat().fit(slides[:2]) == {"batches": {}}  # one batch has nothing to be told from
    with pytest.raises(DataError, match="fitted without patient Z"):
        ComBat().transform(prepared(4, "Z", 0.0), state)


SMALL_STEPS = (ExpressedGenes(0, 10**7, 0, 0, "all"), PanelTPM("none"), Log2(), ComBat())


def test_a_later_step_that_sees_all_slides_sees_them_transformed() -> None:
    protocol = Protocol("p", "1", (), SMALL_STEPS, lambda s: [])
    slides = [section(0, "A"), section(1, "B"), section(2, "C", genes=GENES[:-1])]

    fitted = protocol.fit(slides[:1], lambda: slides)

    assert fitted.states[0]["genes"] == GENES[:-1]
    logged = [Log2().transform(PanelTPM("none").transform(s, fitted.states[1]), {}) for s in slides]
    assert fitted.states[3] == ComBat().fit(logged)
    assert sorted(fitted.states[3]["batches"]) == ["A", "B", "C"]


def infos(dataset: str, named: dict[str, str]) -> list[SlideInfo]:
    return [SlideInfo(id=name, patient=patient, dataset=dataset) for name, patient in named.items()]


def test_stnets_patients_are_split_as_the_authors_did() -> None:
    patients = [*STNET_TRAIN, *STNET_VALIDATION, *STNET_TEST]
    slides = infos("stnet", {f"{p}_{n}": p for p in patients for n in ("D1", "E1")})

    (fold,) = SEPAL_2023.folds(slides)

    assert [len(fold.train), len(fold.validation), len(fold.test)] == [30, 8, 8]
    assert (len(set(patients)), SEPAL_2023_CLEAN.folds(slides)) == (23, [fold])


def test_on_visium_validation_is_the_test_section_unless_clean() -> None:
    slides = infos("visium", {"Section_1": "P", "Section_2": "P"})

    (coded,), (clean,) = SEPAL_2023.folds(slides), SEPAL_2023_CLEAN.folds(slides)

    assert coded.validation == coded.test
    assert {p.slide for p in (*clean.train, *clean.validation)} == {"Section_1"}
    assert "validation_is_test" in SEPAL_2023.declares - SEPAL_2023_CLEAN.declares
    with pytest.raises(NotApplicable, match="Section_2 is missing"):
        SEPAL_2023.folds(slides[:1])


def test_other_data_leave_a_patient_out_or_a_section() -> None:
    several = infos("d", {"S1": "A", "S2": "B", "S3": "C"})

    assert [fold.id for fold in SEPAL_2023_CLEAN.folds(several)] == ["A", "B", "C"]
    assert [f.id for f in SEPAL_2023.folds([replace(s, patient="A") for s in several])] == ["S1", "S2", "S3"]
    with pytest.raises(NotApplicable, match="leave-one-section-out needs two slides"):
        SEPAL_2023.folds(several[:1])


def test_only_the_clean_twin_never_looks_at_held_out_slides() -> None:
    assert {step.fit_on for step in SEPAL_2023_CLEAN.target_steps} <= {"none", "train"}
    assert [step.fit_on for step in SEPAL_2023.target_steps].count("all") == 3  # genes, Moran's I, ComBat
