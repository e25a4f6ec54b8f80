"""How far a download is: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from medtaskatlas.datasets.remote.limits import Limits

LOG = logging.getLogger("medtaskatlas")


class Progress:
    """Context manager that is told of bytes as they come.

    Parameters
    ----------
    title
        What it is called.
    done
        Bytes that are there already.
    total
        Bytes of the whole, None if not known.
    limits
        ``report`` and ``quiet``.
    """

    def __init__(self, title: str, done: int, total: int | None, limits: Limits) -> None:
        from tqdm import tqdm

        self.title, self.done, self.total, self.limits = title, done, total, limits
        self.begun = self.told = time.monotonic()
        self.start = done
        shows = sys.stderr.isatty() and not limits.quiet
        self.bar = (
            tqdm(desc=title, total=total, initial=done, unit="B", unit_scale=True)
            if shows
            else None
        )

    def __enter__(self) -> Progress:
        return self

    def add(self, n: int) -> None:
        """Count bytes.

        Parameters
        ----------
        n
            How many came.
        """
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
        elif (now := time.monotonic()) - self.told >= self.limits.report:
            self.told = now
            LOG.info(self._line(now))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif error is None:
            LOG.info(self._line(time.monotonic()))

    def _line(self, now: float) -> str:
        speed = (self.done - self.start) / max(now - self.begun, 1e-9) / 1e6
        of = (
            ""
            if not self.total
            else f" of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%})"
        )
        return f"{self.title}: {self.done / 1e6:.1f} MB{of}, {speed:.1f} MB/s"
