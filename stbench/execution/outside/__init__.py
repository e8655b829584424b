"""Models that run elsewhere: the task they are given, and the predictions they hand back."""

from __future__ import annotations
