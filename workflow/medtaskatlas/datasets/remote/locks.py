"""Locks between the processes of a user: a few downloads per host, one per file."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.remote.remote_file import Limits

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOG = logging.getLogger("medtaskatlas")
POLL = 0.2  # seconds between two attempts to lock


def host_slot(host: str, limits: Limits) -> AbstractContextManager[None]:
    """Hold one of the slots of a host (with port), waiting for it if all are taken."""
    name = re.sub(r"[^a-z0-9.-]", "_", host.lower())
    names = [f"{name}.{k}.lock" for k in range(limits.per_host)]
    return _any_of(names, limits, f"{limits.per_host} downloads from {host} are running")


def file_lock(target: Path, limits: Limits) -> AbstractContextManager[None]:
    """Hold the right to write a file and its part."""
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:24]
    return _any_of([f"file-{name}.lock"], limits, f"another process is downloading {target}")


@contextmanager
def _any_of(names: list[str], limits: Limits, reason: str) -> Iterator[None]:
    """Hold the first lock that is free; the log gives the reason for waiting once."""
    from filelock import FileLock

    folder = limits.slots or Path(tempfile.gettempdir()) / f"medtaskatlas-{os.getuid()}"
    told = False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.lstat()
        if limits.slots is None and not (stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()):
            raise PermissionError(None, "it belongs to somebody else")
        # The system's lock (flock) is free once its process is killed; filelock's soft one is not.
        locks = [FileLock(folder / n, fallback_to_soft=False, thread_local=False) for n in names]
        while (held := next(filter(_acquire, locks), None)) is None:
            if not told:
                LOG.info("waiting: %s", reason)
                told = True
            time.sleep(POLL)
    except OSError as error:
        raise DataError(
            f"{folder} cannot hold the locks of downloads: {error.strerror}",
            "set TMPDIR to a folder of yours on a local disk",
        ) from error
    try:
        yield
    finally:
        held.release()


def _acquire(lock: BaseFileLock) -> bool:
    """Take a lock if it is free."""
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
