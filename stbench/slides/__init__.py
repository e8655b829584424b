"""Slides: tissue sections with their image, their spots and their expression."""

from __future__ import annotations

from stbench.slides.info import SlideInfo
from stbench.slides.slide import Slide

__all__ = ["Slide", "SlideInfo"]
