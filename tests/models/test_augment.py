from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stbench.models.augment import Per, flip_and_turn, symmetries

ASYMMETRIC = torch.arange(9.0).view(1, 1, 3, 3)


def same_set(a: list[Tensor], b: list[Tensor]) -> bool:
    return sorted(x.flatten().tolist() for x in a) == sorted(x.flatten().tolist() for x in b)


def test_the_symmetries_are_eight_and_closed() -> None:
    seen = symmetries(ASYMMETRIC)

    assert len({tuple(x.flatten().tolist()) for x in seen}) == 8
    assert all(same_set(symmetries(one), seen) for one in seen)


def test_every_image_is_drawn_for_itself() -> None:
    torch.manual_seed(0)

    drawn = flip_and_turn(ASYMMETRIC.expand(400, 1, 3, 3))

    counts = [int((drawn == one).all(dim=(1, 2, 3)).sum()) for one in symmetries(ASYMMETRIC)]
    assert sum(counts) == 400
    assert all(25 < count < 80 for count in counts)  # 50 expected, standard deviation 6.6


@pytest.mark.parametrize(("per", "kinds"), [("image", 8), ("batch", 1)])
def test_a_batch_can_share_one_draw(per: Per, kinds: int) -> None:
    torch.manual_seed(0)

    drawn = flip_and_turn(ASYMMETRIC.expand(100, 1, 3, 3), per)

    assert len(drawn.flatten(1).unique(dim=0)) == kinds


def test_the_seed_decides_the_draws() -> None:
    images = torch.rand(16, 3, 4, 4)
    first, again, other = (seeded_draw(images, seed) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def seeded_draw(images: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return flip_and_turn(images)
