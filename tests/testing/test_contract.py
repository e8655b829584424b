from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import PredictionError
from stbench.models import Model, Params
from stbench.models.contract import PredictionBlock
from stbench.models.mean import Mean, MeanParams
from stbench.slides import Slide
from stbench.testing import check_model, context, toy_slides


class ColourParams(Params):
    side: int = 8


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
        return (self.features(slide) @ self.weights).astype(np.float32)


class SavedColour(Colour):
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


@pytest.mark.parametrize("model", [Colour, SavedColour, ColourInBlocks])
def test_a_good_model_passes(model: type[Colour], tmp_path: Path) -> None:
    check_model(model, ColourParams(), tmp_path)


def test_a_control_passes(tmp_path: Path) -> None:
    check_model(Mean, MeanParams(), tmp_path)


class Transposed(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide).T.copy()


class Double(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide).astype(np.float64)


class NotFinite(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        values = super().predict(slide)
        values[3] = np.nan
        return values


class NotAnArray(Colour):
    def predict(self, slide: Slide) -> list:
        return super().predict(slide).tolist()


class ForTheTrainingSizeOnly(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return np.resize(super().predict(slide), (40, 6))


class NeedsValidation(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        self.weights *= np.nan if not validation else 1.0


class LosesABlock(ColourInBlocks):
    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        blocks = list(super().predict(slide))
        yield from (blocks[0], blocks[2])


class StopsEarly(ColourInBlocks):
    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        yield from list(super().predict(slide))[:-1]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Transposed, r"Transposed on a test slide predicts shape \(6, 40\); \(spots, genes\) is \(40, 6\)"),
        (Double, "predicts float64; return float32"),
        (NotFinite, "NotFinite on a test slide predicts 6 values that are not finite"),
        (NotAnArray, "predicts a list; return a numpy array"),
        (ForTheTrainingSizeOnly, r"on a subset of the spots predicts shape \(40, 6\)"),
        (NeedsValidation, "NeedsValidation fitted without validation slides predicts 240 values"),
        (LosesABlock, "gives spots 32–40 after spot 16; keep the order"),
        (StopsEarly, r"predicts shape \(32, 6\)"),
    ],
)
def test_a_wrong_prediction_is_named(model: type[Colour], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match=sentence):
        check_model(model, ColourParams(), tmp_path)


class CentresTheTarget(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        train[0].adata.X -= train[0].adata.X.mean(0)


class LeavesANote(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        validation[0].adata.uns["note"] = 1


class DropsTheMask(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        del train[1].adata.layers["measured"]


class Unseeded(Colour):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        self.weights += np.random.default_rng().normal(size=self.weights.shape)


class Restless(Colour):
    def predict(self, slide: Slide) -> np.ndarray:
        return super().predict(slide) + np.random.default_rng().normal(size=6).astype(np.float32)


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


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (CentresTheTarget, "CentresTheTarget.fit modified X of slide P1-S1; work on a copy"),
        (LeavesANote, r'modified uns\["note"\] of slide P3-S1'),
        (DropsTheMask, r'modified layers\["measured"\] of slide P2-S1'),
        (Unseeded, "Unseeded predicts differently when fitted twice with seed 0"),
        (Restless, "predicts the same slide differently the second time"),
        (SavesPickle, "wrote weights.pkl; keep to safetensors and JSON"),
        (ForgetsOnSaving, "predicts differently after save and load"),
        (SavesNothing, "SavesNothing.save wrote nothing"),
    ],
)
def test_another_breach_is_named(model: type[Colour], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_model(model, ColourParams(), tmp_path)


def test_a_model_may_ignore_the_seed_when_it_says_so(tmp_path: Path) -> None:
    check_model(Unseeded, ColourParams(), tmp_path, same_seed_same_prediction=False)


@pytest.mark.parametrize("grid", ["square", "hex"])
def test_toy_expression_follows_the_colour_of_the_image(grid: str, tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path, spots=100, grid=grid)
    model = Colour(ColourParams(), context(tmp_path))

    model.fit([train], [])
    prediction = model.predict(test.without_expression())

    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(test.target.T, prediction.T, strict=True)]
    assert np.median(r) > 0.7


def test_toy_slides_look_prepared_and_come_out_the_same(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path / "a", patients=2, sections=2, spots=30, genes=5)
    twins = toy_slides(tmp_path / "b", patients=2, sections=2, spots=30, genes=5)

    assert [s.info.id for s in slides] == ["P1-S1", "P1-S2", "P2-S1", "P2-S2"]
    for slide, twin in zip(slides, twins, strict=True):
        assert slide.target.shape == (30, 5)
        assert slide.measured.all()
        assert slide.adata.raw.n_vars > 5
        assert {"symbol", "train_mean", "hvg50", "heg50"} <= set(slide.adata.var)
        np.testing.assert_array_equal(slide.target, twin.target)
        np.testing.assert_array_equal(slide.patches(pixels=8, microns=50.0), twin.patches(pixels=8, microns=50.0))
    assert not np.array_equal(slides[0].target, slides[1].target)


@pytest.mark.parametrize(("grid", "neighbours"), [("square", 8), ("hex", 6)])
def test_toy_spots_lie_on_the_grid(grid: str, neighbours: int, tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=49, grid=grid)

    edges = slide.neighbours("grid")

    assert np.bincount(edges[1], minlength=49).max() == neighbours
    assert (slide.centers_px > 0).all()
    assert (slide.centers_px < slide.image.size).all()
