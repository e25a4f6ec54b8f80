"""A request to stop, as schedulers send it before they kill a job, and users by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Notes SIGTERM and SIGINT as ``requested`` inside a ``with``; ``ignored``: another answers."""

    def __init__(self, *, ignored: bool = False) -> None:
        self.ignored = ignored
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            handler = signal.SIG_IGN if self.ignored else self._note
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
