"""SEPAL's fixed split of the STNet data set by patient (its configuration files)."""

from __future__ import annotations

STNET_TRAIN = (
    "BC23269", "BC23272", "BC23277", "BC23287", "BC23377", "BC23450", "BC23567", "BC23803", "BC23810", "BC23895",
    "BC23903", "BC23944", "BC24044", "BC24105", "BC24220",
)  # fmt: skip
STNET_VALIDATION = ("BC23209", "BC23270", "BC23901", "BC24223")
STNET_TEST = ("BC23268", "BC23288", "BC23506", "BC23508")
