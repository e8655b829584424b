from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_bleep.control import RandomRetrieval
from stbench_bleep.model import Bleep, nearness
from stbench_bleep.params import BleepParams, RandomRetrievalParams
from stbench_bleep.plugin import SMOKE


def tiny(**settings: Any) -> BleepParams:
    return BleepParams.model_validate(SMOKE | {"epochs": 2, "dim": 8, "batch_size": 16, "k": 5} | settings)


def fitted(folder: Path, train: Sequence[Slide], validation: Sequence[Slide] = (), **settings: Any) -> Bleep:
    model = Bleep(tiny(**settings), context(folder))
    model.fit(train, validation)
    return model


def with_params(model: Bleep, **settings: Any) -> Bleep:
    """The same fitted model with other parameters of prediction."""
    other = Bleep(tiny(**settings), model.context)
    other.network, other.n_genes, other.reference = model.network, model.n_genes, model.reference
    return other


def predicted(model: Any, slide: Slide) -> np.ndarray:
    return np.asarray(model.predict(slide.without_expression()))


def slow_prediction(model: Bleep, slide: Slide, mode: str, k: int) -> np.ndarray:
    """Spot by spot, as the authors write it."""
    rows = []
    keys, values = model.reference.keys, model.reference.values
    for query in model.embed(slide.without_expression()):
        cosine = cosine_similarity(query[None], keys)
        chosen = cosine.argsort(descending=True)[: 1 if mode == "top-1" else k]
        distance = (query - keys[chosen]).double().norm(dim=1)
        weights = torch.exp(-(distance**2 - distance[0] ** 2 + 1)) if mode == "weighted" else torch.ones(len(chosen))
        rows.append((weights[:, None] * values[chosen]).sum(0) / weights.sum())
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("mode", ["average", "weighted", "top-1"])
def test_a_prediction_is_what_the_authors_code_looks_up(mode: str, tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, train, retrieval=mode)

    np.testing.assert_allclose(predicted(model, test), slow_prediction(model, test, mode, 5), rtol=1e-3, atol=1e-4)


def test_weights_of_nearness_survive_long_distances() -> None:
    length = torch.full((1, 3), 60.0)

    weights = nearness(torch.tensor([[0.9, 0.5, -0.9]]), torch.tensor([60.0]), length)

    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0, 0.0]]))


def test_only_training_spots_are_looked_up(tmp_path: Path) -> None:
    train, validation, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, [train], [validation])

    assert torch.equal(model.reference.values, torch.from_numpy(train.target))
    looked_up = predicted(with_params(model, retrieval="top-1"), test)
    assert all((np.abs(train.target - row).max(1) < 1e-6).any() for row in looked_up)


def test_more_spots_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train], k=10_000)

    expected = np.broadcast_to(train.target.mean(0), test.target.shape)
    np.testing.assert_allclose(predicted(model, test), expected, rtol=1e-4)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train])
    model.save(tmp_path)
    again = Bleep(tiny(retrieval="weighted"), context(tmp_path))
    again.load(tmp_path)

    np.testing.assert_array_equal(predicted(with_params(model, retrieval="weighted"), test), predicted(again, test))


def test_what_a_training_slide_lacks_is_not_averaged_in(tmp_path: Path) -> None:
    first, second, test = toy_slides(tmp_path, patients=3)
    adata = second.adata.copy()
    adata.X[:, 0] = -1e3
    adata.layers["measured"][:, 0] = False

    everyone = first.n_spots + second.n_spots
    prediction = predicted(fitted(tmp_path, [first, second.with_adata(adata)], k=everyone), test)

    np.testing.assert_allclose(prediction[:, 0], first.target[:, 0].mean(), rtol=1e-4)


@pytest.mark.parametrize("raw", [False, True])
def test_intensities_are_normalised_or_as_they_are(raw: bool, tmp_path: Path) -> None:
    model = Bleep(tiny(raw_intensities=raw), context(tmp_path))
    network = model.module(4).eval()
    seen: list[torch.Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(2, 3, 32, 32)

    network(images)

    mean, std = network.mean.view(3, 1, 1), network.std.view(3, 1, 1)
    torch.testing.assert_close(seen[0], 255 * images if raw else (images - mean) / std)


def test_random_retrieval_is_a_draw_that_the_seed_fixes(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)

    def drawn(seed: int) -> np.ndarray:
        model = RandomRetrieval(RandomRetrievalParams(k=5), context(tmp_path, seed))
        model.fit([train], [])
        return predicted(model, test)

    assert np.array_equal(drawn(0), drawn(0))
    assert not np.array_equal(drawn(0), drawn(1))
    assert drawn(0).std(0).mean() > 0


def test_batch_normalisation_learns_with_the_encoder(tmp_path: Path) -> None:
    train, _ = toy_slides(tmp_path)
    fresh = dict(Bleep(tiny(), context(tmp_path)).module(train.adata.n_vars).encoder.named_buffers())

    after = dict(fitted(tmp_path, [train]).network.encoder.named_buffers())

    moved = [name for name, value in after.items() if name.endswith("running_mean") and not value.equal(fresh[name])]
    assert moved


def test_patches_are_turned_in_training_and_not_at_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = toy_slides(tmp_path)
    turned: list[int] = []
    monkeypatch.setattr("stbench_bleep.network.flip_and_turn", lambda images: turned.append(len(images)) or images)

    model = fitted(tmp_path, [train], epochs=1)
    seen = sum(turned)
    predicted(model, test)

    assert seen == sum(turned) == train.n_spots
