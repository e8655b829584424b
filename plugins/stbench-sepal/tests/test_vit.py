from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stbench.models.contract import Context
from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_sepal.params import VitParams
from stbench_sepal.plugin import VIT_SMOKE
from stbench_sepal.vit import EncoderHead, Vit

TINY = VIT_SMOKE | {"pixels": 16, "epochs": 2, "batch_size": 32}


def fitted(told: Context, train: Sequence[Slide], validation: Sequence[Slide] = (), **settings: Any) -> Vit:
    model = Vit(VitParams.model_validate(TINY | settings), told)
    model.fit(train, validation)
    return model


def unmeasured(slide: Slide, filler: float, *, whole_gene: bool) -> Slide:
    """The same slide without its third gene, or without a corner of its values."""
    adata = slide.adata.copy()
    measured = np.ones(adata.shape, bool)
    if whole_gene:
        measured[:, 2] = False
    else:
        measured[:5, :2] = False
    adata.layers["measured"] = measured
    adata.X = np.where(measured, slide.target, np.float32(filler))
    return slide.with_adata(adata)


def weights(model: Vit) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def test_the_published_network_has_the_published_size() -> None:
    from stbench.models.encoders import load_encoder

    encoder = load_encoder("vit_base_patch16_224.augreg_in1k", "random", Path("unused"), pixels=224)
    network = EncoderHead(encoder, 256, lr=1e-4, augment="none")

    assert encoder.n_features == 768
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 85_995_520


def test_deltas_count_from_the_mean_of_the_training_slides(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    lacking = unmeasured(slides[1], 1e3, whole_gene=True)
    model = fitted(context(tmp_path), [slides[0], lacking], [slides[2]], deltas=True)

    expected = np.concatenate([slides[0].target, slides[1].target]).mean(0)
    expected[2] = slides[0].target[:, 2].mean()
    np.testing.assert_allclose(model.network.offset.numpy(), expected, rtol=1e-6)
    with torch.no_grad():
        model.network.head.weight.zero_()
        model.network.head.bias.zero_()
    predicted = model.predict(slides[2].without_expression())
    np.testing.assert_allclose(predicted, np.broadcast_to(expected, predicted.shape), rtol=1e-6)


def test_genes_that_a_slide_lacks_change_nothing(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    zero, large = (
        fitted(context(tmp_path), [slides[0], unmeasured(slides[1], filler, whole_gene=True)], slides[2:], deltas=True)
        for filler in (0.0, 1e5)
    )

    assert torch.equal(weights(zero), weights(large))
    assert torch.equal(zero.network.offset, large.network.offset)


@pytest.mark.parametrize(("loss_on", "same"), [("measured", True), ("imputed", False)])
def test_imputed_values_are_learnt_from_if_asked(loss_on: str, same: bool, tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    zero, other = (
        fitted(
            context(tmp_path), [slides[0], unmeasured(slides[1], filler, whole_gene=False)], slides[2:], loss_on=loss_on
        )
        for filler in (0.0, 5.0)
    )

    assert torch.equal(weights(zero), weights(other)) == same


def test_validation_looks_at_measured_values_only(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    lines: list[str] = []
    told = replace(context(tmp_path), report=lines.append)
    for filler in (0.0, 5.0):
        fitted(told, slides[:2], [unmeasured(slides[2], filler, whole_gene=False)], epochs=1)

    first, second = (line for line in lines if "val_loss" in line)
    assert first == second


def test_the_same_training_is_taken_from_the_cache(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    lines: list[str] = []
    told = replace(context(tmp_path), report=lines.append)
    first = fitted(told, slides[:2], slides[2:])
    lines.clear()

    again = fitted(told, slides[:2], slides[2:])

    assert [line for line in lines if "taken from the cache" in line]
    assert not [line for line in lines if "epoch" in line]
    assert torch.equal(weights(first), weights(again))
    assert first.reused_seconds == 0
    assert again.reused_seconds > 0


@pytest.mark.parametrize("change", [{"lr": 1e-4}, {"deltas": True}, {"patch_scale": 2.0}, {"augment": "batch"}])
def test_other_parameters_or_seeds_are_trained_anew(change: dict[str, Any], tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    first = fitted(context(tmp_path), slides[:1], slides[1:])

    changed = fitted(context(tmp_path), slides[:1], slides[1:], **change)
    seeded = fitted(context(tmp_path, seed=1), slides[:1], slides[1:])

    assert not torch.equal(weights(first), weights(changed))
    assert not torch.equal(weights(first), weights(seeded))


def test_patch_scale_shows_more_tissue(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    near = fitted(context(tmp_path), slides[:1], slides[1:])
    far = Vit(VitParams.model_validate(TINY | {"patch_scale": 3.0}), context(tmp_path))
    far.n_genes, far.network = near.n_genes, near.network
    wide = Vit(VitParams.model_validate(TINY | {"microns": 3 * near.params.microns}), context(tmp_path))
    wide.n_genes, wide.network = near.n_genes, near.network
    shown = slides[1].without_expression()

    assert not np.allclose(near.predict(shown), far.predict(shown))
    np.testing.assert_array_equal(far.predict(shown), wide.predict(shown))


def test_it_learns_from_the_image(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=5, spots=64)
    model = fitted(context(tmp_path), train, [validation], epochs=15, deltas=True)

    predicted = model.predict(test.without_expression())

    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(test.target.T, predicted.T, strict=True)]
    assert np.mean(r) > 0.3
