"""What the record says of the machine, the software and the leaks."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stbench.matrix import Cell
from stbench.matrix.cell import OUTSIDE
from stbench.protocols import Protocol
from stbench.store.record import LedgerEntry

PACKAGES = (
    "stbench", "numpy", "scipy", "scikit-learn", "scikit-image", "torch", "torchvision", "timm", "lightning",
    "anndata", "scanpy", "pyarrow", "pillow", "tifffile", "imagecodecs",
)  # fmt: skip


@cache
def environment() -> dict[str, Any]:
    """Python, platform, package versions, git state of the working folder, hardware, threads of this process."""
    import psutil

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": _git_state(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "threads": _threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu_name(),
    }


def ledger(cell: Cell, protocol: Protocol) -> dict[str, LedgerEntry]:
    """Leak ledger of a cell; what a third party does unseen is unknown, not no."""
    fitted_on_test = any(step.fit_on == "all" for step in protocol.target_steps)
    elsewhere = cell.model_distribution == OUTSIDE
    promised: LedgerEntry = "unknown" if elsewhere else "no"
    entries: dict[str, LedgerEntry] = {
        kind: "yes" if kind in cell.overlaps else promised for kind in ("same_patient", "same_image", "same_slide")
    }
    entries["target_saw_test"] = "yes" if fitted_on_test else "no"
    known_steps = all(type(step).__module__.startswith("stbench.") for step in protocol.target_steps)
    modified = any(getattr(step, "modifies_truth", False) for step in protocol.target_steps)
    entries["truth_modified"] = "yes" if modified else "no" if known_steps else "unknown"
    chosen_on_test = "validation_is_test" in cell.overlaps
    entries["selected_on_test"] = "yes" if chosen_on_test else promised  # here fit is given no other test slide
    used = _weights(cell)
    from_scratch = all(w == "random" for w in used) if used else cell.model_distribution == "stbench"
    entries["encoder_saw_test"] = "no" if from_scratch else "unknown"
    return entries


def badges(cell: Cell, entries: dict[str, LedgerEntry]) -> list[str]:
    """What a reader of the number must know."""
    marks = [kind.replace("_", " ") for kind, value in entries.items() if value == "yes"]
    if "random" in _weights(cell):
        marks.append("random weights")
    if cell.model_distribution == OUTSIDE:
        marks.append("scored from a file")
    if cell.preset:
        marks.append(f"preset {cell.preset}")
    return marks


def _weights(cell: Cell) -> list[str]:
    return [str(v) for name, v in cell.params.items() if name == "weights" or name.endswith("_weights")]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()  # noqa: S603

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_name() -> str:
    """The processor's model: numerical libraries choose their kernels by it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else None


def _gpu_name() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())
