from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stbench.errors import UsageError
from stbench.models.contrastive import soft_target_loss
from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_gchb.branch import Branch
from stbench_gchb.graph import neighbourhoods
from stbench_gchb.hsic import hsic, normalised_hsic
from stbench_gchb.model import Gchb, SpotBatches, pretrain, principal_components
from stbench_gchb.network import GraphSection
from stbench_gchb.params import GchbParams
from stbench_gchb.plugin import SMOKE

SMALL = {"epochs": 2, "dgi_epochs": 2, "hidden": 8, "dim": 8, "image_features": 8, "batch_size": 16, "k": 5}


def tiny(**settings: Any) -> GchbParams:
    return GchbParams.model_validate(SMOKE | SMALL | settings)


def fitted(folder: Path, train: Sequence[Slide], validation: Sequence[Slide] = (), **settings: Any) -> Gchb:
    model = Gchb(tiny(**settings), context(folder))
    model.fit(train, validation)
    return model


def predicted(model: Gchb, slide: Slide) -> np.ndarray:
    return np.asarray(model.predict(slide.without_expression()))


def weights(model: Gchb) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def test_a_prediction_is_the_mean_of_the_training_spots_with_the_largest_products(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, train)
    target = np.concatenate([slide.target for slide in train])

    found = predicted(model, test)

    keys = model.reference.keys
    for row, query in zip(found, model.embed(test.without_expression()), strict=True):
        chosen = (keys @ query).argsort(descending=True)[:5]
        np.testing.assert_allclose(row, target[chosen].mean(0), rtol=1e-4, atol=1e-5)


def test_only_training_spots_are_looked_up(tmp_path: Path) -> None:
    train, validation, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, [train], [validation], k=1)

    assert torch.equal(model.reference.values, torch.from_numpy(train.target))
    assert all((np.abs(train.target - row).max(1) < 1e-6).any() for row in predicted(model, test))


def test_validation_chooses_the_epoch(tmp_path: Path) -> None:
    train, validation, _ = toy_slides(tmp_path, patients=3)
    lines: list[str] = []
    model = Gchb(tiny(epochs=3), replace(context(tmp_path), report=lines.append))

    model.fit([train], [validation])

    assert sum("val_loss" in line for line in lines) == 3
    assert sum("infomax loss" in line for line in lines) == 2


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train])
    model.save(tmp_path)
    again = Gchb(tiny(), context(tmp_path))
    again.load(tmp_path)

    np.testing.assert_array_equal(predicted(model, test), predicted(again, test))


@pytest.mark.parametrize(
    "without", [{"graph": False}, {"dgi_epochs": 0}, {"bottleneck_weight": 0}, {"trainable": "none"}]
)
def test_parts_can_be_switched_off(without: dict[str, Any], tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    whole, part = fitted(tmp_path, [train]), fitted(tmp_path, [train], **without)

    assert not torch.equal(weights(whole), weights(part))
    assert np.isfinite(predicted(part, test)).all()


@pytest.mark.parametrize("settings", [{"legacy_image_hsic": True}, {"sigma": "median"}, {"norm": "sym"}])
def test_variants_learn_otherwise(settings: dict[str, Any], tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)

    model = fitted(tmp_path, [train], **settings)

    assert not torch.equal(weights(model), weights(fitted(tmp_path, [train])))
    assert np.isfinite(predicted(model, test)).all()


def test_only_the_last_stage_is_trained_if_asked_for(tmp_path: Path) -> None:
    (train, _) = toy_slides(tmp_path)
    model = fitted(tmp_path, [train], trainable="last_stage")
    untrained = Gchb(tiny(trainable="last_stage"), context(tmp_path))
    untrained.n_components = model.n_components
    torch.manual_seed(0)
    start = dict(untrained.module(model.n_genes).encoder.named_parameters())

    moved = {
        name.split(".")[0]
        for name, after in model.network.encoder.named_parameters()
        if not torch.equal(after, start[name])
    }

    assert moved == {"layer4"}


def test_a_frozen_encoder_stays_as_it_came_statistics_included(tmp_path: Path) -> None:
    (train, _) = toy_slides(tmp_path)
    model = fitted(tmp_path, [train], trainable="none")
    untrained = Gchb(tiny(trainable="none"), context(tmp_path))
    untrained.n_components = model.n_components

    start = untrained.module(model.n_genes).encoder.state_dict()

    assert all(torch.equal(after, start[name]) for name, after in model.network.encoder.state_dict().items())


@pytest.mark.parametrize("trainable", ["all", "none"])
def test_what_neighbours_give_is_encoded_anew_each_epoch(trainable: str, tmp_path: Path) -> None:
    (train, _) = toy_slides(tmp_path)
    model = Gchb(tiny(trainable=trainable, epochs=3, dgi_epochs=0), context(tmp_path))
    kept: list[torch.Tensor] = []

    class Watched(type(model)):  # type: ignore[misc]
        def module(self, n_genes: int) -> Any:
            network = super().module(n_genes)
            encode = network.encode
            network.encode = lambda patches: kept.append(encode(patches)) or kept[-1]
            return network

    watched = Watched(model.params, model.context)
    watched.fit([train], [])

    assert len(kept) == 3
    assert not torch.equal(kept[0], kept[2])


@pytest.mark.parametrize("legacy", [False, True])
def test_the_joint_loss_is_the_alignment_and_both_bottlenecks(legacy: bool, tmp_path: Path) -> None:
    (slide, _) = toy_slides(tmp_path)
    params = tiny(legacy_image_hsic=legacy, bottleneck_weight=0.5, beta=3.0, dropout=0.0)
    model = Gchb(params, context(tmp_path))
    model.n_components = 4
    network = model.module(slide.adata.n_vars).eval()
    section = GraphSection(
        slide.patches(pixels=32, microns=75.0), neighbourhoods(slide, 6, "sum"), torch.randn(slide.n_spots, 4)
    )
    spots = torch.arange(12)
    fresh, gathered = torch.randn(2, 12, 8)

    image_hidden = network.image(gathered)
    gene_hidden = network.gene(section.neighbours.gather(section.components)[spots])
    image, gene = network.image.project(image_hidden), network.gene.project(gene_hidden)
    kept = hsic(image, image_hidden, 10.0) if legacy else normalised_hsic(image, image_hidden, 10.0)
    image_part = normalised_hsic(fresh, image_hidden, 10.0) - 3 * kept
    gene_part = normalised_hsic(section.components[spots], gene_hidden, 10.0) - 3 * normalised_hsic(
        gene, gene_hidden, 10.0
    )
    expected = soft_target_loss(gene, image) + 0.5 * (image_part + gene_part)
    torch.testing.assert_close(network._loss(fresh, gathered, section, spots), expected)


def test_pre_training_teaches_a_branch_to_tell_a_section_from_a_shuffled_one(tmp_path: Path) -> None:
    (slide, _) = toy_slides(tmp_path)
    torch.manual_seed(0)
    features = torch.from_numpy(slide.target - slide.target.mean(0))
    section = GraphSection(np.zeros((1, 1, 1, 3), np.uint8), neighbourhoods(slide, 6, "sym"), features)
    branch = Branch(features.shape[1], 16, 8, 0.1)
    losses: list[float] = []

    for epochs in (1, 60):
        order = torch.Generator().manual_seed(0)
        pretrain(branch, [features], [section], tiny(dgi_epochs=epochs, dgi_lr=1e-2), order, losses.append)

    assert losses[1] < 0.8 * losses[0]


def test_an_encoder_without_stages_says_so(tmp_path: Path) -> None:
    (train, _) = toy_slides(tmp_path)

    with pytest.raises(UsageError, match=r"test_vit.* has no last stage .*; set trainable to all or none"):
        fitted(tmp_path, [train], encoder="test_vit.r160_in1k", trainable="last_stage")


def test_batches_hold_every_spot_once_and_one_section_each(tmp_path: Path) -> None:
    sections = [
        GraphSection(np.zeros((n, 1, 1, 3), np.uint8), None, torch.zeros(n, 1))  # type: ignore[arg-type]
        for n in (7, 20, 1)
    ]

    batches = list(SpotBatches(sections, 8, "cpu", torch.Generator().manual_seed(0)))

    assert len(batches) == len(SpotBatches(sections, 8, "cpu")) == 1 + 3 + 1
    for number, section in enumerate(sections):
        spots = torch.cat([batch.spots for batch in batches if batch.section == number])
        assert sorted(spots.tolist()) == list(range(len(section.components)))


def test_components_are_those_of_the_training_spots() -> None:
    rng = np.random.default_rng(0)
    target = (rng.normal(size=(40, 2)) @ rng.normal(size=(2, 6)) + 3).astype(np.float32)

    mean, loadings = principal_components(target, 2)

    scores = (torch.from_numpy(target) - mean) @ loadings.T
    np.testing.assert_allclose(scores @ loadings + mean, target, atol=1e-4)  # of rank two: nothing is lost
