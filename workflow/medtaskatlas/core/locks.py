"""Locks between processes.

They are the operating system's (flock): one whose process is killed is free at once.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medtaskatlas.core.errors import DataError

POLL = 0.2  # seconds between two attempts


class LockFolder:
    """A folder of lock files; made where it is missing.

    Parameters
    ----------
    folder
        Its path, on a local disk.
    purpose
        What the locks are for, in the plural, for the error.
    remedy
        What a user does about a folder that cannot be used.
    access
        ``own``: must belong to this user; ``all``: every user of the machine may use it; ``any``:
        as it is.

    Raises
    ------
    DataError
        If it cannot be used.
    """

    def __init__(self, folder: Path, *, purpose: str, remedy: str, access: str = "any") -> None:
        self.folder, self.purpose, self.remedy = folder, purpose, remedy
        try:
            folder.mkdir(mode=0o777 if access == "all" else 0o700, parents=True, exist_ok=True)
            info = folder.lstat()
            mine = info.st_uid == os.getuid()
            if access == "all" and mine:
                folder.chmod(0o777)  # whatever the umask
        except OSError as error:
            raise self._unusable(str(error.strerror)) from error
        if access == "own" and not (stat.S_ISDIR(info.st_mode) and mine):
            raise self._unusable("it belongs to somebody else")
        if access == "all" and not stat.S_ISDIR(info.st_mode):
            raise self._unusable("it is no folder")

    @contextmanager
    def hold(
        self, names: Sequence[str], number: int = 1, *, on_wait: Callable[[], object]
    ) -> Iterator[list[str]]:
        """Hold some of several locks; waits until that many are free.

        Parameters
        ----------
        names
            Of the locks.
        number
            How many of them to hold.
        on_wait
            Called once, before the first wait.

        Yields
        ------
        list of str
            Those that are held, in the order of ``names``.

        Raises
        ------
        DataError
            If the folder cannot hold locks.
        """
        from filelock import FileLock, Timeout

        held: set[str] = set()
        waits = False
        with ExitStack() as locks:
            while len(held) < number:
                if waits:
                    time.sleep(POLL)
                for name in names:
                    if name in held or len(held) == number:
                        continue
                    path = self.folder / (re.sub(r"[^\w.-]", "_", name) + ".lock")
                    # A soft lock, filelock's fall-back, would survive a kill.
                    lock = FileLock(path, mode=0o666, fallback_to_soft=False, thread_local=False)
                    try:
                        lock.acquire(blocking=False)
                    except Timeout:
                        continue
                    except OSError as error:
                        raise self._unusable(str(error.strerror)) from error
                    locks.callback(lock.release)
                    held.add(name)
                if len(held) < number and not waits:
                    on_wait()
                    waits = True
            yield [name for name in names if name in held]

    def _unusable(self, reason: str) -> DataError:
        problem = f"{self.folder} cannot hold the locks of {self.purpose}: {reason}"
        return DataError(problem, self.remedy)
