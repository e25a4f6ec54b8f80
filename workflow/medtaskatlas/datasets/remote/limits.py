"""How patient, how large and how polite a download may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medtaskatlas.core.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """Bounds of one transfer.

    Attributes
    ----------
    tries
        Failures in a row that end it. A try that brought a MiB or more starts the count anew, so a
        large file may come over a bad line; ``max_bytes`` and ``total`` bound that too.
    backoff, backoff_max
        Wait before the second try, seconds, doubled before each further one; and its cap.
    retry_after_max
        Cap of the wait that a server may ask for (Retry-After), seconds.
    connect, stall
        Longest wait for a connection and for the next bytes, seconds.
    total
        Longest time of the whole transfer, seconds; waiting for a free slot is not counted.
    max_bytes
        Largest file.
    redirects
        Most redirects of one request.
    per_host
        Most downloads from one host at a time, over all processes of this user on this machine.
    slots
        Folder of the locks; None is ``medtaskatlas-<uid>`` in the folder for temporary files.
    report
        Seconds between two lines in the log.
    quiet
        No progress bar, even on a terminal.
    """

    tries: int = 6
    backoff: float = 1.0
    backoff_max: float = 120.0
    retry_after_max: float = 600.0
    connect: float = 20.0
    stall: float = 60.0
    total: float = 12 * 3600.0
    max_bytes: int = 64 * 2**30
    redirects: int = 10
    per_host: int = 2
    slots: Path | None = None
    report: float = 10.0
    quiet: bool = False

    def __post_init__(self) -> None:
        for key in ("tries", "per_host"):
            if getattr(self, key) < 1:
                raise ConfigError(f"Limits.{key} is {getattr(self, key)}", "use 1 or more")
