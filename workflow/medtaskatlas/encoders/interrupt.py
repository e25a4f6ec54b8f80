"""A request to stop, as schedulers send it before they kill a job."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Notes SIGTERM instead of dying of it, inside a ``with``.

    Parameters
    ----------
    ignored
        Whether this process leaves the answer to another one.

    Attributes
    ----------
    asked
        Whether the signal has come.
    """

    def __init__(self, *, ignored: bool = False) -> None:
        self.ignored = ignored
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            answer = signal.SIG_IGN if self.ignored else self._note
            self._before = signal.signal(signal.SIGTERM, answer)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
