"""At most a few downloads from one host at a time, over all processes of a user.

The locks are the operating system's (flock): one whose process is killed is free at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.remote.limits import Limits

LOG = logging.getLogger("medtaskatlas")
POLL = 0.2  # seconds between two looks for a free slot


@contextmanager
def slot(host: str, limits: Limits) -> Iterator[None]:
    """Hold one of the slots of a host; wait for one if all are taken, and say so in the log.

    Parameters
    ----------
    host
        Host with port.
    limits
        ``per_host`` and ``slots``.

    Yields
    ------
    None
        While the slot is held.

    Raises
    ------
    DataError
        If the folder of the locks cannot be used.
    """
    name = re.sub(r"[^a-z0-9.-]", "_", host.lower())
    paths = [_folder(limits) / f"{name}.{k}.lock" for k in range(limits.per_host)]
    with _any_of(paths, f"waiting: {limits.per_host} downloads from {host} are running"):
        yield


@contextmanager
def only_one(target: Path, limits: Limits) -> Iterator[None]:
    """Hold the right to write one file: two processes must not share its part.

    Parameters
    ----------
    target
        The file.
    limits
        ``slots``.

    Yields
    ------
    None
        While the right is held.
    """
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:24]
    path = _folder(limits) / f"file-{name}.lock"
    with _any_of([path], f"waiting: another process is downloading {target}"):
        yield


@contextmanager
def _any_of(paths: list[Path], message: str) -> Iterator[None]:
    """Hold the first lock that is free."""
    from filelock import FileLock, Timeout

    # A soft lock, filelock's fall-back, would survive a kill.
    locks = [FileLock(path, fallback_to_soft=False, thread_local=False) for path in paths]
    told = False
    while True:
        for lock in locks:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            except OSError as error:
                raise _unusable(paths[0].parent, str(error.strerror)) from error
            try:
                yield
            finally:
                lock.release()
            return
        if not told:
            LOG.info(message)
            told = True
        time.sleep(POLL)


def _folder(limits: Limits) -> Path:
    """Folder of the locks; one in a shared place must be the user's own."""
    folder = limits.slots or Path(tempfile.gettempdir()) / f"medtaskatlas-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.lstat()
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from error
    if limits.slots is None and not (stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()):
        raise _unusable(folder, "it belongs to somebody else")
    return folder


def _unusable(folder: Path, reason: str) -> DataError:
    return DataError(
        f"{folder} cannot hold the locks of downloads: {reason}",
        "set TMPDIR to a folder of yours on a local disk",
    )
