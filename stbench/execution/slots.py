"""Which devices a command's cells run on: so many places per device, spread over all GPUs that are visible."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stbench.errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Slot:
    """A place where one cell runs at a time.

    Attributes
    ----------
    device
        As torch names it inside the worker.
    visible
        The only GPU that the worker may see, as `VISIBLE` names it; None: those that this process sees. Plugins that
        say ``cuda`` without asking which one then land on the right one.
    """

    device: str
    visible: str | None = None


def slots_of(device: str, jobs: int, gpus: Sequence[str]) -> list[Slot]:
    """Places of a command.

    Parameters
    ----------
    device
        ``cuda`` and ``auto`` stand for every visible GPU, ``cuda:1`` for that one.
    jobs
        Places per device.
    gpus
        Names of the visible GPUs, from `names_of_gpus`.

    Returns
    -------
    Places in the order they are filled: every GPU has its first cell before one has its second.

    Raises
    ------
    UsageError
        A GPU is asked for that is not there.
    """
    if device == "cuda" or (device == "auto" and gpus):
        if not gpus:
            raise UsageError(
                "--device cuda: no GPU is visible here; `stbench doctor` says more, --device cpu does without"
            )
        return [Slot("cuda:0", gpu) for _ in range(jobs) for gpu in gpus]
    return [Slot(device)] * jobs


def names_of_gpus(count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names by which `VISIBLE` can choose among the first `count` GPUs that this process sees."""
    stated = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    return stated[:count] if stated else [str(index) for index in range(count)]
