from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stbench.models.once import Stage, trained_once
from stbench.slides import Slide
from stbench.testing import context, toy_slides


class Trainer:
    """Counts how often it trains."""

    def __init__(self, folder: Path) -> None:
        self.context = context(folder)
        self.trained = 0

    def fit(self) -> dict[str, Tensor]:
        self.trained += 1
        return {"weight": torch.full((2, 2), float(self.trained))}

    def __call__(self, train: Sequence[Slide], validation: Sequence[Slide] = (), lr: float = 1.0) -> Stage:
        return trained_once("stage/1", {"lr": lr}, train, validation, self.context, self.fit)


@pytest.fixture
def slides(tmp_path: Path) -> list[Slide]:
    return toy_slides(tmp_path, patients=3)


def test_a_stage_is_trained_once_and_its_cost_is_kept(slides: list[Slide], tmp_path: Path) -> None:
    lines: list[str] = []
    first, again = Trainer(tmp_path), Trainer(tmp_path)
    again.context = replace(again.context, seed=7, report=lines.append)

    new, reused = first(slides[:2], slides[2:]), again(slides[:2], slides[2:])

    assert (first.trained, again.trained, new.reused, reused.reused) == (1, 0, False, True)
    assert reused.seconds == new.seconds > 0
    assert torch.equal(reused.weights["weight"], new.weights["weight"])
    assert "trained before on these slides" in lines[0]


def test_whatever_the_weights_depend_on_trains_anew(slides: list[Slide], tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer(slides[:2], slides[2:])
    adata = slides[0].adata.copy()
    adata.X = slides[0].target + 1
    masked = slides[0].adata.copy()
    masked.layers["measured"] = ~slides[0].measured

    trainer(slides[:2], slides[2:], lr=2.0)
    trainer(slides[:2])
    trainer(slides[1::-1], slides[2:])
    trainer([slides[0].with_adata(adata), slides[1]], slides[2:])
    trainer([slides[0].with_adata(masked), slides[1]], slides[2:])
    trainer([slides[0].subset(range(5)), slides[1]], slides[2:])

    assert trainer.trained == 7


def test_a_damaged_file_is_replaced(slides: list[Slide], tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer(slides)
    (file,) = (trainer.context.cache_dir / "stages").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-3])

    assert not trainer(slides).reused
    assert trainer(slides).reused
