"""Ridge on frozen features is scikit-learn's, and its penalty is the best of the inner folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stbench.errors import DataError
from stbench.models import inner_folds
from stbench.models.embeddings import Embedder
from stbench.models.encoders import load_encoder
from stbench.models.ridge import ALPHAS, Gram, Ridge
from stbench.models.ridge_params import RidgeParams
from stbench.slides import Slide
from stbench.testing import context, toy_slides

SMALL = {"encoder": "test_resnet", "weights": "random", "pixels": 32, "microns": 80.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ridge")


@pytest.fixture(scope="module")
def slides(folder: Path) -> list[Slide]:
    return toy_slides(folder, patients=4, spots=49)


def features(slides: list[Slide], folder: Path) -> np.ndarray:
    embed = Embedder(load_encoder("test_resnet", "random", folder), pixels=32, microns=80.0, context=context(folder))
    return np.concatenate([embed(slide) for slide in slides]).astype(float)


def targets(slides: list[Slide]) -> np.ndarray:
    return np.concatenate([slide.target for slide in slides]).astype(float)


def fitted(train: list[Slide], folder: Path, **params: object) -> Ridge:
    model = Ridge(RidgeParams(**(SMALL | params)), context(folder))
    model.fit(train, [])
    return model


@pytest.mark.parametrize("alpha", [1e-2, 3.0, 1e4])
def test_the_closed_form_is_scikit_learns(alpha: float) -> None:
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(2, 1, (60, 20)), rng.normal(-1, 3, (60, 4))

    ours = Gram.of(Z, Y).predict(Z[:7], alpha)

    np.testing.assert_allclose(ours, SklearnRidge(alpha=alpha).fit(Z, Y).predict(Z[:7]), rtol=1e-8)


def test_more_features_than_spots() -> None:
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(size=(15, 40)), rng.normal(size=(15, 3))

    np.testing.assert_allclose(Gram.of(Z, Y).predict(Z, 0.5), SklearnRidge(alpha=0.5).fit(Z, Y).predict(Z), rtol=1e-8)


@pytest.mark.parametrize("n_components", [8, 256])  # 147 training spots: fewer than 256
def test_prediction_of_one_penalty(slides: list[Slide], folder: Path, n_components: int) -> None:
    *train, test = slides

    prediction = fitted(train, folder, alpha=10.0, n_components=n_components).predict(test.without_expression())

    kept = min(n_components, 147, features(train, folder).shape[1])
    reference = make_pipeline(StandardScaler(), PCA(kept, svd_solver="full"), SklearnRidge(alpha=10.0))
    expected = reference.fit(features(train, folder), targets(train)).predict(features([test], folder))
    np.testing.assert_allclose(prediction, expected, atol=1e-4)
    assert prediction.dtype == np.float32


def brute_force(train: list[Slide], folder: Path) -> float:
    """Slow reference: every penalty, every inner fold, scikit-learn."""
    project = make_pipeline(StandardScaler(), PCA(8, svd_solver="full")).fit(features(train, folder))
    errors = []
    for alpha in ALPHAS:
        error = 0.0
        for fit, held_out in inner_folds(train):
            model = SklearnRidge(alpha=alpha).fit(project.transform(features(fit, folder)), targets(fit))
            error += ((model.predict(project.transform(features(held_out, folder))) - targets(held_out)) ** 2).mean()
        errors.append(error)
    return float(ALPHAS[np.argmin(errors)])


@pytest.mark.parametrize("n_train", [1, 2, 3])
def test_the_penalty_is_the_best_of_the_inner_folds(slides: list[Slide], folder: Path, n_train: int) -> None:
    train = slides[:n_train]

    assert fitted(train, folder, n_components=8).alpha == brute_force(train, folder)


def test_it_learns_what_the_image_shows(slides: list[Slide], folder: Path) -> None:
    *train, test = slides

    prediction = fitted(train, folder).predict(test.without_expression())

    mean = targets(train).mean(0)
    assert ((prediction - test.target) ** 2).mean() < 0.8 * ((mean - test.target) ** 2).mean()


def test_validation_is_not_used(slides: list[Slide], folder: Path) -> None:
    with_validation = Ridge(RidgeParams(**SMALL), context(folder))
    with_validation.fit(slides[:2], slides[2:3])

    np.testing.assert_array_equal(with_validation.predict(slides[3]), fitted(slides[:2], folder).predict(slides[3]))


def test_parameters_counted_are_those_of_the_regression(slides: list[Slide], folder: Path) -> None:
    assert fitted(slides[:2], folder, alpha=1.0, n_components=8).n_parameters == (8 + 1) * 6


def test_what_was_saved_predicts_alike(slides: list[Slide], folder: Path, tmp_path: Path) -> None:
    model = fitted(slides[:3], folder, n_components=8)
    model.save(tmp_path)
    loaded = Ridge(model.params, context(folder))
    loaded.load(tmp_path)

    np.testing.assert_array_equal(loaded.predict(slides[3]), model.predict(slides[3]))
    assert (loaded.alpha, loaded.n_parameters) == (model.alpha, model.n_parameters)


def test_an_encoder_with_other_weights_is_refused(slides: list[Slide], folder: Path, tmp_path: Path) -> None:
    fitted(slides[:2], folder, alpha=1.0).save(tmp_path)
    other = Ridge(RidgeParams(**(SMALL | {"encoder": "test_vit"})), context(folder))

    with pytest.raises(DataError, match=r"was fitted on encoder test_resnet:random-.*, and here is test_vit"):
        other.load(tmp_path)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"pixels": 0}, {"weights": "imagenet"}, {"alpha": float("inf")}])
def test_parameters_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RidgeParams(**wrong)
