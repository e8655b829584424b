"""Watching what a plugin does outside of its business: network, files, global state."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALWAYS_ALLOWED = ("/dev/", "/proc/")
ENVIRONMENT = "environment variable "
SET_BY_IMPORTS = ("KMP_", "OMP_", "TORCH", "PYTORCH")
"""Variables that scikit-learn and torch set while they are imported."""
PYTHON, NUMPY, TORCH = (f"{whose} global random generator" for whose in ("Python's", "numpy's", "torch's"))
LOOPBACK = ("localhost", "127.", "::1", "0.0.0.0")  # noqa: S104


class NetworkRefused(ConnectionRefusedError):
    """Raised in the plugin that tries to reach the network while it is watched."""


@dataclass
class Seen:
    """What happened while a plugin was watched.

    Attributes
    ----------
    network
        Hosts that were asked for; each attempt was refused.
    writes
        Files changed outside the folders that are the plugin's own.
    settings
        Flags, environment variables and the like that were not left as found.
    generators
        Global random generators that were not left as found.
    modified
        Parts of its inputs that it changed; noted by whoever gave them.
    """

    network: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    generators: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()


_watching: list[Seen] = []
_calls = itertools.count(1000)
_installed = False


@contextmanager
def watching(seen: Seen, allowed: Sequence[Path]) -> Iterator[None]:
    """Watch this process: refuse the network, note in `seen` writes outside `allowed` and global state left changed.

    The global random generators start from another state each time, as they do where plugins run after each other.
    Code that writes without Python (a C library's own ``fopen``) and child processes are not seen.
    """
    global _installed
    if not _installed:  # an audit hook cannot be removed: it stays, and looks only while something is watched
        sys.addaudithook(_audit)
        _installed = True
    seen.allowed = tuple(os.path.realpath(folder) + os.sep for folder in allowed)
    settings, found = _settings(), _generators()
    _scramble(next(_calls))  # code that seeds a generator twice alike would leave it as it was found
    generators = _generators()
    _watching.append(seen)
    try:
        yield
    finally:
        _watching.remove(seen)
        seen.settings += _changed_settings(settings, _settings())
        seen.generators += [name for name, state in _generators().items() if state != generators.get(name, state)]
        _restore(found)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _EVENTS:
        _EVENTS[event](_watching[-1], arguments)


def _opened(seen: Seen, arguments: tuple[Any, ...]) -> None:
    path, _, flags = arguments
    if isinstance(flags, int) and flags & WRITING:
        _written(seen, path)


def _changed(*which: int) -> Callable[[Seen, tuple[Any, ...]], None]:
    def note(seen: Seen, arguments: tuple[Any, ...]) -> None:
        if arguments[-1] == -1:  # relative to an open folder: whoever opened it, as rmtree does, knows where it is
            for index in which:
                _written(seen, arguments[index])

    return note


def _written(seen: Seen, path: object) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return  # an open descriptor
    real = os.path.realpath(os.fsdecode(path))
    if (real + os.sep).startswith((*seen.allowed, *ALWAYS_ALLOWED)) or _importing():
        return
    if real not in seen.writes:
        seen.writes.append(real)


def _importing() -> bool:
    """Whether Python is importing a module: what libraries write then (bytecode, font caches) is their business."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _connected(seen: Seen, arguments: tuple[Any, ...]) -> None:
    address = arguments[1]
    if isinstance(address, tuple):  # a Unix socket's address is a path
        _asked_for(seen, address[0])


def _looked_up(seen: Seen, arguments: tuple[Any, ...]) -> None:
    if arguments[0] is not None:
        _asked_for(seen, arguments[0])


def _asked_for(seen: Seen, host: object) -> None:
    name = os.fsdecode(host) if isinstance(host, bytes) else str(host)
    if name.startswith(LOOPBACK):
        return
    if name not in seen.network:
        seen.network.append(name)
    raise NetworkRefused(f"the conformance kit refuses the network ({name})")


_EVENTS: dict[str, Callable[[Seen, tuple[Any, ...]], None]] = {
    "open": _opened,
    "os.mkdir": _changed(0),
    "os.rename": _changed(0, 1),
    "os.remove": _changed(0),
    "os.symlink": _changed(1),
    "socket.connect": _connected,
    "socket.getaddrinfo": _looked_up,
    "socket.gethostbyname": _looked_up,
}


def _changed_settings(before: dict[str, object], after: dict[str, object]) -> list[str]:
    # torch imported meanwhile has no earlier setting to compare with; a new environment variable has: it was absent
    comparable = [name for name in before | after if name in before or name.startswith(ENVIRONMENT)]
    return [name for name in comparable if before.get(name) != after.get(name)]


def _generators() -> dict[str, Any]:
    """State of the global random generators; values compare by ``==``."""
    import random

    import numpy as np

    name, keys, *rest = np.random.get_state()
    states = {PYTHON: random.getstate(), NUMPY: (name, bytes(keys), *rest)}  # type: ignore[arg-type]
    torch = _torch()
    return states | ({TORCH: bytes(torch.get_rng_state().numpy())} if torch else {})


def _restore(states: dict[str, Any]) -> None:
    import random

    import numpy as np

    random.setstate(states[PYTHON])
    name, keys, *rest = states[NUMPY]
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))
    if TORCH in states:
        torch = _torch()
        torch.set_rng_state(torch.frombuffer(bytearray(states[TORCH]), dtype=torch.uint8))


def _settings() -> dict[str, object]:
    """Global settings by what a message calls them; values compare by ``==``."""
    import numpy as np

    state: dict[str, object] = {
        "numpy's floating-point error handling": tuple(np.geterr().items()),
        "the working directory": os.getcwd(),
    }
    state |= {ENVIRONMENT + k: v for k, v in os.environ.items() if not k.startswith(SET_BY_IMPORTS)}
    torch = _torch()
    if torch:
        state |= {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's number of threads": torch.get_num_threads(),
            "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "torch's float32 matmul precision": torch.get_float32_matmul_precision(),
            "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
            "torch.backends.cudnn.deterministic": torch.backends.cudnn.deterministic,
        }
    return state


def _scramble(seed: int) -> None:
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch = _torch()
    if torch:
        torch.manual_seed(seed)


def _torch() -> Any:
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "get_rng_state") else None
