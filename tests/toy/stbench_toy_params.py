"""Parameters of the toy models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stbench.models import PREDICT_STAGE, Params


class NoParams(Params):
    """None."""


class GoodParams(Params):
    noise: float = Field(0.01, ge=0, description="standard deviation of the noise that the seed draws")


class SleepsParams(Params):
    seconds: float = 1.0


class DiesParams(Params):
    at: Literal["predictions", "truth-file", "truth", "moments", "record", "half-record", "run", "committed"] = "run"


class ForksParams(Params):
    then: Literal["ends", "crashes", "hangs", "stops"] = "ends"
    children: str = Field(description="folder that gets a file with the ids of the processes it starts")


class ScaledParams(Params):
    ridge: float = Field(0.0, ge=0, description="penalty")
    scale: float = Field(1.0, json_schema_extra=PREDICT_STAGE, description="factor of the prediction")
