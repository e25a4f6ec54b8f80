"""Locks between the processes of a user: a few downloads per host, one per file."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from medtaskatlas.core.locks import LockFolder
from medtaskatlas.datasets.remote.remote_file import Limits

LOG = logging.getLogger("medtaskatlas")


def host_slot(host: str, limits: Limits) -> AbstractContextManager[None]:
    """Hold one of the slots of a host (with port), waiting for it if all are taken."""
    name = re.sub(r"[^a-z0-9.-]", "_", host.lower())
    names = [f"{name}.{k}" for k in range(limits.per_host)]
    return _any_of(names, limits, f"{limits.per_host} downloads from {host} are running")


def file_lock(target: Path, limits: Limits) -> AbstractContextManager[None]:
    """Hold the right to write a file and its part."""
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:24]
    return _any_of([f"file-{name}"], limits, f"another process is downloading {target}")


@contextmanager
def _any_of(names: list[str], limits: Limits, reason: str) -> Iterator[None]:
    """Hold the first lock that is free; the log gives the reason for waiting once."""
    folder = LockFolder(
        limits.slots or Path(tempfile.gettempdir()) / f"medtaskatlas-{os.getuid()}",
        purpose="downloads",
        remedy="set TMPDIR to a folder of yours on a local disk",
        access="own" if limits.slots is None else "any",
    )
    with folder.hold(names, on_wait=lambda: LOG.info("waiting: %s", reason)):
        yield
