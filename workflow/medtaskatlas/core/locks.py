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
    purpose, remedy
        What the locks are for, and what a user does about a folder that cannot be used: for the
        :class:`DataError` then.
    access
        ``own``: must belong to this user; ``all``: for every user of the machine; ``any``.
    """

    def __init__(self, folder: Path, *, purpose: str, remedy: str, access: str = "any") -> None:
        self.folder, self.purpose, self.remedy = folder, purpose, remedy
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = folder.lstat()
            real = stat.S_ISDIR(info.st_mode)  # a link in a shared place may lead anywhere
            mine = real and info.st_uid == os.getuid()
            if access == "all" and mine:
                folder.chmod(0o777)
        except OSError as error:
            raise self._unusable(str(error.strerror)) from error
        if access == "own" and not mine:
            raise self._unusable("it belongs to somebody else")
        if access == "all" and not real:
            raise self._unusable("it is no folder")

    @contextmanager
    def hold(
        self, names: Sequence[str], number: int = 1, *, on_wait: Callable[[], object]
    ) -> Iterator[list[str]]:
        """Hold some of several locks, yielded in the order of ``names``, once so many are free.

        ``on_wait`` is called once, before the first wait.
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
