"""Every check of models is failed by a model with the fault it names, and by no other fault."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from stbench.models import PREDICT_STAGE, Model, Params
from stbench.models.contract import PredictionBlock
from stbench.registry import ModelSpec
from stbench.slides import Slide
from stbench.testing import check_model, model_checks
from stbench.testing.model import ModelSubject, checks
from stbench.testing.model.fitting import misplaced_columns

TOY = Path(__file__).parents[1] / "toy"


class ColourParams(Params):
    side: int = 8
    scale: int = Field(1, ge=1, le=4, json_schema_extra=PREDICT_STAGE)


class Colour(Model[ColourParams]):
    """Least squares on the mean colour of the patch."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        target = np.concatenate([slide.target for slide in train])
        features = np.concatenate([self.features(slide) for slide in train])
        self.weights = np.linalg.lstsq(features, target, rcond=None)[0]

    def features(self, slide: Slide) -> np.ndarray:
        colour = slide.patches(pixels=self.params.side, microns=40.0).mean((1, 2)) / 255
        return np.column_stack([colour, np.log(colour + 0.01), np.ones(slide.n_spots)])

    def predict(self, slide: Slide) -> np.ndarray:
        return (self.features(slide) @ self.weights * self.params.scale).astype(np.float32)


class SavedColour(Colour):
    pointwise = True

    def save(self, folder: Path) -> None:
        (folder / "weights.json").write_text(str(self.weights.tolist()))

    def load(self, folder: Path) -> None:
        import json

        self.weights = np.array(json.loads((folder / "weights.json").read_text()))


class ColourInBlocks(Colour):
    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        mean = super().predict(slide)
        for start in range(0, slide.n_spots, 16):
            spots = slice(start, min(start + 16, slide.n_spots))
            yield spots, mean[spots], np.ones_like(mean[spots])


def failing(subject: Any, **options: Any) -> dict[str, str]:
    """Messages of the checks a subject fails, by id; `own_process`, two seconds each, has tests of its own."""
    outcomes = [check.outcome() for check in model_checks(subject, **options) if check.id != "own_process"]
    return {o.id: o.message for o in outcomes if o.status == "failed"}


STATED = ("save_load", "predict_stage", "pointwise")
"""Checks of what a model says it can."""


@pytest.mark.parametrize("model", [Colour, SavedColour, ColourInBlocks])
def test_a_good_model_passes(model: type[Colour]) -> None:
    report = check_model(model)

    left_out = {o.id for o in report.outcomes if o.status != "passed"}
    # whether a test module can be imported by name, and run alone, depends on where pytest was started
    assert left_out - {"own_process"} == {"cheap_to_plan", *(() if model is SavedColour else STATED)}
    assert {o.status for o in report.outcomes} == {"passed", "skipped"}


class Transposed(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide).T.copy()


class Double(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide).astype(np.float64)


class NotFinite(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        values = super().predict(slide)
        values[min(3, len(values) - 1)] = np.nan
        return values


class NotAnArray(Colour):
    def predict(self, slide: Slide) -> list:
        return super().predict(slide).tolist()


class LosesABlock(ColourInBlocks):
    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        blocks = list(super().predict(slide))
        yield from (blocks[0], blocks[2])


class StopsEarly(ColourInBlocks):
    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        yield from list(super().predict(slide))[:-1]


class Raises(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        raise ValueError("no way")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Transposed, "predict of a test slide predicts shape (8, 64); (spots, genes) is (64, 8)"),
        (Double, "predicts float64; return float32"),
        (NotFinite, "predicts 8 values that are not finite"),
        (NotAnArray, "predicts a list; return a numpy array"),
        (LosesABlock, "gives spots 32–48 after spot 16; keep the order"),
        (StopsEarly, "predicts shape (48, 8)"),
        (Raises, "ValueError: no way"),
    ],
)
def test_a_wrong_prediction_is_named_and_blocks_the_rest(model: type[Colour], sentence: str) -> None:
    outcomes = {c.id: c.outcome() for c in model_checks(model)}

    assert [o.id for o in outcomes.values() if o.status == "failed"] == ["fit_predict"]
    assert sentence in outcomes["fit_predict"].message
    assert outcomes["leak_probe"].status == "blocked"


class TakesAnything(ColourParams):
    extra: Any = None


class Untyped(Colour):
    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(ColourParams(side=params.side), context)


class Restless(Colour):
    """Dropout left on at test time."""

    def predict(self, slide: Slide) -> np.ndarray:
        exact = super().predict(slide)
        return exact + np.random.default_rng().normal(0, 0.01, exact.shape).astype(np.float32)


class Unseeded(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        self.weights += np.random.default_rng().normal(size=self.weights.shape) / 100


class CentresASlide(Colour):
    """Says it is pointwise, and takes the slide's mean off."""

    pointwise = True

    def predict(self, slide: Slide) -> np.ndarray:
        values = super().predict(slide)
        return values - 0.1 * values.mean(0)


class CountsSpots(Colour):
    """Predictions depend on what came before."""

    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide) + np.linspace(0, 0.1, slide.n_spots, dtype=np.float32)[:, None]


class ForTheTrainingSizeOnly(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        values = super().predict(slide)
        return values if slide.n_spots in (4, 59, 64) else np.resize(values, (64, 8))


class SortsGenes(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        self.weights = self.weights[:, np.argsort(train[0].adata.var_names)]


class SwapsTwoGenes(Colour):
    """The highest and the lowest gene end up in each other's column, unless genes come in alphabetical order."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        if not train[0].adata.var_names.is_monotonic_increasing:
            by_mean = train[0].target.mean(0).argsort()
            self.weights[:, by_mean[[0, -1]]] = self.weights[:, by_mean[[-1, 0]]]


class Constant(Colour):
    """The training mean, which claims to be a method."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        self.mean = np.concatenate([slide.target for slide in train]).mean(0)

    def predict(self, slide: Slide) -> np.ndarray:
        return np.tile(self.mean, (slide.n_spots, 1))


class NeedsValidation(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        validation[0].target.mean()


class SquareOnly(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        assert train[0].info.grid == "square"
        super().fit(train, validation)


class SavesPickle(SavedColour):
    def save(self, folder: Path) -> None:
        super().save(folder)
        self.weights.dump(folder / "weights.pkl")


class ForgetsOnSaving(SavedColour):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self.weights[-1] = 0


class SavesNothing(SavedColour):
    def save(self, folder: Path) -> None:
        pass


class LooksBesideTheImage(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        found = slide.source.path.with_name(f"{slide.info.id}.h5ad")
        if not found.exists():
            return super().predict(slide)
        import anndata

        return np.asarray(anndata.read_h5ad(found).X, np.float32)


class LooksInMemory(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        known = [thing for thing in gc.get_objects() if isinstance(thing, Slide) and thing.info.id == slide.info.id]
        spread = [thing.target.std() for thing in known if thing.adata.X is not None]
        return super().predict(slide) + np.float32(0.01 * max(spread, default=0.0))


class UsesXIfThere(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide) if slide.adata.X is None else slide.target


class CentresTheTarget(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        train[0].adata.X -= train[0].adata.X.mean(0)


class LeavesANote(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        for slide in validation:
            slide.adata.uns["note"] = 1


class DropsTheMask(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        train[-1].adata.layers.pop("measured", None)


class MovesTheSpots(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        values = super().predict(slide)
        slide.adata.obsm["spatial"] = slide.adata.obsm["spatial"] + 0
        slide.adata.obs["seen"] = 1
        return values


class SeedsNumpy(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        np.random.seed(self.context.seed)
        super().fit(train, validation)


class SetsTheEnvironment(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        os.environ["SOME_SWITCH"] = "1"
        super().fit(train, validation)


class AsksTheNetwork(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        with contextlib.suppress(OSError):
            socket.getaddrinfo("weights.invalid", 443)


class NeedsTheNetwork(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        socket.create_connection(("192.0.2.1", 443), timeout=0.1)


class WritesElsewhere(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        (self.context.work_dir.parent / "left-behind.txt").write_text("here")


class DividesBySpread(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        with np.errstate(all="ignore"):
            spread = np.concatenate([slide.target for slide in train]).std(0)
            self.weights = self.weights / spread * spread


class MeanOfNeighbours(Colour):
    """Undefined for a spot without neighbours."""

    def predict(self, slide: Slide) -> np.ndarray:
        own = super().predict(slide)
        if slide.n_spots < 5 or slide.info.grid == "none":
            return own
        source, target = slide.neighbours("grid")
        sums = np.zeros_like(own)
        np.add.at(sums, target, own[source])
        degree = np.bincount(target, minlength=slide.n_spots)[:, None]
        with np.errstate(all="ignore"):
            return (sums / degree).astype(np.float32) if slide.n_spots > 30 else own


class RefusesTheEdge(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        if (slide.centers_px < 10).any():
            raise IndexError("patch reaches beyond the image")
        return super().predict(slide)


class CountsPixels(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide) + slide.centers_px[:, :1].astype(np.float32) / 1000


class TrainsOnItsScale(SavedColour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        self.weights = self.weights * self.params.scale


FAULTS: dict[type[Colour], str] = {
    Restless: "predict_twice",
    Unseeded: "same_seed",
    CountsSpots: "spot_order",
    CentresASlide: "pointwise",
    ForTheTrainingSizeOnly: "any_number_of_spots",
    SortsGenes: "gene_order",
    SwapsTwoGenes: "gene_order",
    Constant: "beats_mean",
    NeedsValidation: "one_slide",
    SquareOnly: "hexagonal",
    SavesPickle: "save_load",
    ForgetsOnSaving: "save_load",
    SavesNothing: "save_load",
    TrainsOnItsScale: "predict_stage",
    LooksBesideTheImage: "leak_probe",
    LooksInMemory: "leak_probe",
    UsesXIfThere: "leak_probe",
    CentresTheTarget: "inputs_untouched",
    LeavesANote: "inputs_untouched",
    DropsTheMask: "inputs_untouched",
    MovesTheSpots: "inputs_untouched",
    SeedsNumpy: "global_state",
    SetsTheEnvironment: "global_state",
    AsksTheNetwork: "no_network",
    NeedsTheNetwork: "no_network",
    WritesElsewhere: "writes_only_in_its_folder",
    DividesBySpread: "odd_values",
    MeanOfNeighbours: "isolated_spot",
    RefusesTheEdge: "image_edge",
    CountsPixels: "other_scan",
}


@pytest.mark.parametrize("model", FAULTS, ids=lambda model: model.__name__)
def test_a_fault_fails_exactly_the_check_that_names_it(model: type[Colour], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_SWITCH", raising=False)

    assert list(failing(model)) == [FAULTS[model]]

    os.environ.pop("SOME_SWITCH", None)


def test_nonsense_parameters_have_to_be_refused() -> None:
    found = failing(Untyped, params=TakesAnything())

    assert list(found) == ["parameters"]
    assert "accepts extra={'no': 'thing'}" in found["parameters"]


def test_training_expression_has_to_matter() -> None:
    class KnowsTheAnswer(Colour):
        def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
            pass

        def predict(self, slide: Slide) -> np.ndarray:
            return np.ones((slide.n_spots, 8), np.float32)

    assert "learns_from_training" in failing(KnowsTheAnswer)


def test_a_slow_model_fails_its_limit() -> None:
    assert list(failing(Colour, limit_s=1e-6)) == ["quick"]


@pytest.fixture
def toy_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))


def spec(**fields: Any) -> ModelSpec:
    given = {"name": "toy-good", "factory": "stbench_toy_models:Good", "params": "stbench_toy_params:GoodParams"}
    return ModelSpec(**given | fields)


def test_a_spec_that_says_deterministic_must_not_depend_on_the_seed(toy_path: None) -> None:
    assert "but seeds 0 and 1 differ" in failing(spec(deterministic=True))["same_seed"]


def test_a_wrong_preset_is_named(toy_path: None) -> None:
    found = failing(spec(presets={"big": {"noise": -1}}))

    assert "preset big is not valid" in found["parameters"]


def test_a_control_need_not_beat_the_mean_and_runs_alone() -> None:
    outcomes = {c.id: c.outcome() for c in model_checks("mean")}

    assert outcomes["beats_mean"].status == "skipped"
    assert outcomes["own_process"].status == "passed"
    assert outcomes["cheap_to_plan"].status == "passed"


def test_a_plugin_module_that_imports_torch_is_named() -> None:
    subject = ModelSubject(
        ModelSpec(name="mean", factory="stbench.models.mean:Mean", params="stbench.models.mean:MeanParams"),
        plugin_modules=["stbench.models.training"],
    )
    (check,) = [c for c in checks.of(subject, "mean") if c.id == "cheap_to_plan"]

    assert "imports torch" in check.outcome().message


def test_global_generators_and_the_audit_are_left_as_found(tmp_path: Path) -> None:
    before = np.random.get_state()[1].copy()

    failing(SeedsNumpy)
    (tmp_path / "unwatched").write_text("x")

    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_what_is_imported_by_name_is_run_by_name(toy_path: None) -> None:
    outcomes = {c.id: c.outcome() for c in model_checks(spec())}

    assert "stbench_toy_models" in sys.modules
    assert outcomes["own_process"].status == "passed"


def test_a_column_left_near_another_gene_is_not_taken_for_a_swap() -> None:
    """A short training leaves one gene's column near another's; an order of its own moves at least two."""
    expected = np.tile([0.0, 1.0, 2.0, 5.0], (6, 1)) + np.arange(6)[:, None] * 0.01
    undertrained = expected.copy()
    undertrained[:, 1] = expected[:, 2]

    assert not misplaced_columns(undertrained, expected).any()
    assert misplaced_columns(expected[:, [0, 2, 1, 3]], expected).tolist() == [False, True, True, False]
    assert misplaced_columns(np.roll(expected, 1, axis=1), expected).all()
