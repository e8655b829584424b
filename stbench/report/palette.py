"""Colours that people with any colour vision tell apart, on light and dark ground."""

from __future__ import annotations

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
"""Okabe and Ito (2008), with grey in the place of black, which a dark page would swallow."""

EXPRESSION = "viridis"
"""Name of the colour map of expression, perceptually uniform."""


def expression_colours() -> list[str]:
    """The colour map of expression in 256 steps, as hexadecimal RGB."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[EXPRESSION](step)) for step in range(256)]


def category_colour(index: int) -> str:
    """Colour of a category; they repeat after eight."""
    return OKABE_ITO[index % len(OKABE_ITO)]
