"""Symmetries of the square, for patches that have no up: drawn in training, averaged over at prediction."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Per = Literal["image", "batch"]


def flip_and_turn(images: Tensor, per: Per = "image") -> Tensor:
    """Flip each image left to right, upside down, and turn it by 90°, each with probability 1/2.

    Parameters
    ----------
    images
        (b, channels, side, side).
    per
        ``image``: each image has its own draws; ``batch``: one for all, as some published code does.

    Notes
    -----
    Drawn from torch's global CPU generator: the same seed gives the same draws on every device.
    """
    drawn = torch.rand(3, len(images) if per == "image" else 1) < 0.5
    leftright, upsidedown, turned = drawn.to(images.device)[:, :, None, None, None]
    images = torch.where(leftright, images.flip(-1), images)
    images = torch.where(upsidedown, images.flip(-2), images)
    return torch.where(turned, images.rot90(1, (-2, -1)), images)


def symmetries(images: Tensor) -> list[Tensor]:
    """Give the images under the 8 symmetries of the square, (b, channels, side, side) each."""
    flipped = (images, images.flip(-1))
    return [seen.rot90(turns, (-2, -1)) for seen in flipped for turns in range(4)]
