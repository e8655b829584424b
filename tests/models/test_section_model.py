from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stbench.errors import DataError
from stbench.models import Savable, SectionParams
from stbench.models.panel_counts import panel_counts
from stbench.models.section_model import Section, SectionModel
from stbench.slides import Slide
from stbench.testing import context, toy_slides


class Contrast(lightning.LightningModule):
    """Mean colour of a spot, less that of its section; keeps what it is given."""

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(6, n_genes)
        self.seen: list[Section] = []

    def forward(self, colour: Tensor, place: Tensor) -> Tensor:
        contrast = colour - colour.mean(0)
        genes: Tensor = self.layer(torch.cat([colour, contrast], 1)) + 0 * place.sum()
        return genes

    def training_step(self, section: Section, index: int) -> Tensor:
        self.seen.append(section)
        return (self(*section.inputs) - section.target).square().mean()

    def validation_step(self, section: Section, index: int) -> None:
        self.log("val_loss", self.training_step(section, index), batch_size=len(section.target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Contrasts(SectionModel[SectionParams]):
    def module(self, n_genes: int) -> Contrast:
        return Contrast(n_genes)

    def inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        patches = np.array(slide.patches(pixels=8, microns=75.0))
        return torch.from_numpy(patches / 255).float().mean((1, 2)), torch.tensor(slide.array_positions)


class WithCounts(Contrasts):
    def loss_inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        return (torch.from_numpy(panel_counts(slide)),)


def made(folder: Path, kind: type[Contrasts] = Contrasts, **settings: object) -> Contrasts:
    return kind(SectionParams.model_validate({"epochs": 60} | settings), context(folder))


@pytest.fixture
def slides(tmp_path: Path) -> list[Slide]:
    return toy_slides(tmp_path, patients=4)


def test_it_learns_and_predicts_all_spots_of_a_slide(slides: list[Slide], tmp_path: Path) -> None:
    *train, validation, test = slides
    model = made(tmp_path)
    model.fit(train, [validation])

    prediction = model.predict(test.without_expression())

    mean = np.concatenate([s.target for s in train]).mean(0)
    assert prediction.shape == test.target.shape
    assert ((prediction - test.target) ** 2).mean() < ((mean - test.target) ** 2).mean()


def test_a_step_is_a_section_with_what_the_loss_takes(slides: list[Slide], tmp_path: Path) -> None:
    model = made(tmp_path, WithCounts, epochs=1)
    model.fit(slides[:3], [])

    module = model.network
    assert isinstance(module, Contrast)
    found = {float(section.target.sum()): section for section in module.seen}
    assert len(module.seen) == len(found) == 3
    for slide in slides[:3]:
        section = found[float(torch.tensor(slide.target).sum())]
        assert torch.equal(section.measured, torch.tensor(slide.measured))
        assert torch.equal(section.loss_inputs[0], torch.from_numpy(panel_counts(slide)))
        for given, own in zip(section.inputs, model.inputs(slide), strict=True):
            assert torch.equal(given, own)


def weights(model: Contrasts) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def test_the_last_epoch_is_kept_if_asked_for(slides: list[Slide], tmp_path: Path) -> None:
    adata = slides[1].adata.copy()
    adata.X = -slides[1].target
    misleading = slides[1].with_adata(adata)  # the better on train, the worse here

    best, last, untold = (made(tmp_path, keep_last_epoch=keep) for keep in (False, True, False))
    best.fit(slides[:1], [misleading])
    last.fit(slides[:1], [misleading])
    untold.fit(slides[:1], [])

    assert torch.equal(weights(last), weights(untold))
    assert not torch.equal(weights(last), weights(best))


def test_what_is_saved_is_loaded(slides: list[Slide], tmp_path: Path) -> None:
    model = made(tmp_path, epochs=2)
    model.fit(slides[:1], [])
    assert isinstance(model, Savable)
    model.save(tmp_path)
    again = made(tmp_path)
    again.load(tmp_path)

    np.testing.assert_array_equal(again.predict(slides[1]), model.predict(slides[1]))
    assert again.n_parameters == model.n_parameters == 6 * 6 + 6


def test_weights_of_another_shape_are_not_loaded(slides: list[Slide], tmp_path: Path) -> None:
    model = made(tmp_path, epochs=1)
    model.fit(slides[:1], [])
    model.save(tmp_path)
    (tmp_path / "module.json").write_text('{"n_genes": 5}')

    with pytest.raises(DataError, match="load it with those it was fitted with"):
        made(tmp_path).load(tmp_path)
