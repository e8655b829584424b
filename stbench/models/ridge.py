"""Control: ridge regression on frozen image features, the baseline HEST-Benchmark established."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.models.arrays import load_arrays, save_arrays
from stbench.models.contract import Model, stack_targets
from stbench.models.inner_folds import inner_folds
from stbench.models.ridge_params import RidgeParams
from stbench.slides import Slide

ALPHAS = np.logspace(-2, 6, 17)
Matrix = NDArray[np.float64]
FITTED = "ridge.safetensors"
CHOSEN = "ridge.json"
PIPELINE = ("mean_", "scale_"), ("mean_", "components_", "explained_variance_")
"""What scikit-learn's standardisation and PCA need in order to transform."""


@dataclass(frozen=True)
class Gram:
    """Centred training data as the exact ridge solution needs it, for all α and all genes at once."""

    z_mean: Matrix
    y_mean: Matrix
    eigenvalues: Matrix
    eigenvectors: Matrix
    projected: Matrix

    @classmethod
    def of(cls, Z: Matrix, Y: Matrix) -> Gram:
        """Eigendecomposition of Z'Z for Z (spots, features), Y (spots, genes)."""
        z_mean, y_mean = Z.mean(0), Y.mean(0)
        centred = Z - z_mean
        eigenvalues, eigenvectors = np.linalg.eigh(centred.T @ centred)
        projected = eigenvectors.T @ (centred.T @ (Y - y_mean))
        return cls(z_mean, y_mean, np.maximum(eigenvalues, 0), eigenvectors, projected)

    def predict(self, Z: Matrix, alpha: float) -> Matrix:
        """Predictions (spots, genes) of W = (Z'Z + αI)⁻¹Z'Y with an intercept that is not penalised."""
        weights = self.eigenvectors @ (self.projected / (self.eigenvalues + alpha)[:, None])
        return (Z - self.z_mean) @ weights + self.y_mean


class Ridge(Model[RidgeParams]):
    """Frozen encoder → standardise → PCA → ridge; α by mean squared error over inner folds of training slides."""

    pointwise: ClassVar[bool] = True

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Fit standardisation, PCA and ridge on training spots; validation is not used."""
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        p = self.params
        self._load_encoder()
        features = np.concatenate([self.embed(slide) for slide in train])  # (spots, features)
        n_components = min(p.n_components, *features.shape)
        pca = PCA(n_components, svd_solver="covariance_eigh")
        self.project: Any = make_pipeline(StandardScaler(), pca).fit(features.astype(np.float64))
        self.alpha = p.alpha if p.alpha is not None else self._choose_alpha(train)
        self.gram = Gram.of(self._project(train), stack_targets(train).astype(np.float64))

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict in target units, (spots, genes)."""
        return self.gram.predict(self._project([slide]), self.alpha).astype(np.float32)

    @property
    def n_parameters(self) -> int:
        """Weights of the regression."""
        return int(self.gram.projected.size + self.gram.y_mean.size)

    def save(self, folder: Path) -> None:
        """Write standardisation, PCA and regression; the encoder is named, its weights are not written."""
        arrays = {f"{step}.{name}": getattr(self.project[step], name) for step, name in _pipeline_arrays()}
        save_arrays(folder / FITTED, arrays | {f"gram.{name}": array for name, array in vars(self.gram).items()})
        chosen = {"alpha": self.alpha, "encoder": self.embed.encoder.identity}
        (folder / CHOSEN).write_text(json.dumps(chosen))

    def load(self, folder: Path) -> None:
        """Restore a saved model; the encoder is loaded as it was for training.

        Raises
        ------
        DataError
            The encoder's weights are not those it was fitted on, or cannot be had.
        """
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._load_encoder()
        chosen = json.loads((folder / CHOSEN).read_text())
        if chosen["encoder"] != self.embed.encoder.identity:
            raise DataError(
                f"{folder} was fitted on encoder {chosen['encoder']}, and here is {self.embed.encoder.identity}; "
                "put its weights back"
            )
        arrays = load_arrays(folder / FITTED)
        self.project = make_pipeline(StandardScaler(), PCA(whiten=False))
        for step, name in _pipeline_arrays():
            setattr(self.project[step], name, arrays[f"{step}.{name}"])
        self.gram = Gram(**{name: arrays[f"gram.{name}"] for name in Gram.__dataclass_fields__})
        self.alpha = float(chosen["alpha"])

    def _load_encoder(self) -> None:
        from stbench.models.embeddings import Embedder
        from stbench.models.encoders import load_encoder

        p = self.params
        encoder = load_encoder(p.encoder, p.weights, self.context.cache_dir, pixels=p.pixels)
        self.embed = Embedder(encoder, pixels=p.pixels, microns=p.microns, context=self.context)

    def _project(self, slides: Sequence[Slide]) -> Matrix:
        features = np.concatenate([self.embed(slide) for slide in slides])
        return np.asarray(self.project.transform(features.astype(np.float64)))  # (spots, components)

    def _choose_alpha(self, train: Sequence[Slide]) -> float:
        error = np.zeros(len(ALPHAS))
        for fit, held_out in inner_folds(train):
            gram = Gram.of(self._project(fit), stack_targets(fit).astype(np.float64))
            Z, Y = self._project(held_out), stack_targets(held_out)
            error += [((gram.predict(Z, alpha) - Y) ** 2).mean() for alpha in ALPHAS]
        chosen = float(ALPHAS[int(error.argmin())])
        self.context.report(f"ridge: alpha {chosen:g} by inner folds")
        return chosen


def _pipeline_arrays() -> list[tuple[int, str]]:
    """Step of the pipeline and name of each of its arrays."""
    return [(step, name) for step, names in enumerate(PIPELINE) for name in names]
