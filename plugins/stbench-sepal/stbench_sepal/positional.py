"""The two-dimensional sinusoidal code of where a node lies, as seen from the centre of its graph."""

from __future__ import annotations

import torch
from torch import Tensor


def positional_code(offsets: Tensor, channels: int, reach: Tensor) -> Tensor:
    """Code array offsets from the centre: the first half of the channels tells rows, the second columns.

    Each axis has sines and cosines, interleaved, of ``(offset + reach) / 10000^(2i / width)`` with `width` channels
    per axis (Mejia et al. 2023 §3.3, with the ``positional_encodings`` package that their code uses).

    Parameters
    ----------
    offsets
        (n, 2) rows and columns from the centre; fractions are fine.
    channels
        Width of the code.
    reach
        The largest offset of the data the network is trained on, a scalar: the centre lies at (reach, reach).

    Returns
    -------
    (n, channels) float32.
    """
    width = 2 * -(-channels // 4)  # per axis, even
    frequency = 10_000 ** -(torch.arange(0, width, 2, device=offsets.device) / width)  # (width / 2,)
    angle = (offsets + reach).float()[:, :, None] * frequency  # (n, 2, width / 2)
    code = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # (n, 2 × width): row, then column
    return code[:, :channels]
