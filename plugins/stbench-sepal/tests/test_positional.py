from __future__ import annotations

import math

import pytest
import torch

from stbench_sepal.positional import positional_code


def slow_code(row: float, col: float, channels: int, reach: float) -> list[float]:
    """One value after the other: channels // 2 for the row, then as many for the column."""
    width = channels // 2
    code = []
    for offset in (row, col):
        for channel in range(width):
            angle = (offset + reach) / 10_000 ** (2 * (channel // 2) / width)
            code.append(math.sin(angle) if channel % 2 == 0 else math.cos(angle))
    return code


@pytest.mark.parametrize("channels", [8, 768])
def test_it_is_sines_and_cosines_of_row_then_column(channels: int) -> None:
    offsets = torch.tensor([[0.0, 0.0], [-3.0, 5.0], [2.0, -6.0]])

    code = positional_code(offsets, channels, torch.tensor(6.0))

    expected = torch.tensor([slow_code(row, col, channels, 6.0) for row, col in offsets.tolist()])
    torch.testing.assert_close(code, expected, atol=1e-5, rtol=0)


def test_rows_and_columns_have_channels_of_their_own() -> None:
    a, b = positional_code(torch.tensor([[1.0, 4.0], [1.0, -4.0]]), 16, torch.tensor(4.0))

    assert torch.equal(a[:8], b[:8])
    assert not torch.equal(a[8:], b[8:])


@pytest.mark.parametrize("channels", [5, 6, 7, 10])
def test_any_width_is_filled(channels: int) -> None:
    code = positional_code(torch.tensor([[1.0, -1.0]]), channels, torch.tensor(1.0))

    assert code.shape == (1, channels)
    assert code.isfinite().all()
