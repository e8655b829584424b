"""Ctrl-C once: finish what runs. Twice, or SIGTERM: stop it."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Counts requests to stop while it is entered; a third one raises `KeyboardInterrupt` wherever the program is.

    Attributes
    ----------
    asked
        0: go on. 1: start nothing more. 2 and above: stop what runs.
    """

    def __init__(self) -> None:
        self.asked = 0

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
        signals = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._before = {number: signal.signal(number, self._note) for number in signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stops_within(self, seconds: float) -> bool:
        """Wait so long for a request to stop what runs."""
        until = time.monotonic() + seconds
        while self.asked < 2 and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))
        return self.asked >= 2

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked >= 2:
            raise KeyboardInterrupt
        self.asked += 2 if number == signal.SIGTERM else 1
