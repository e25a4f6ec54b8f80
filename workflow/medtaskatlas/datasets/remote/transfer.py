"""Downloads that can be trusted: a target is the right file, or it is as it was before."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import whole_file
from medtaskatlas.datasets.remote.addresses import checked
from medtaskatlas.datasets.remote.downloading import done, download, forget, noted
from medtaskatlas.datasets.remote.limits import Limits
from medtaskatlas.datasets.remote.orders import Order, order
from medtaskatlas.datasets.remote.pages import HEAD, not_data
from medtaskatlas.datasets.remote.politeness import only_one

__all__ = ["Limits", "transfer"]
LOG = logging.getLogger("medtaskatlas")


def transfer(
    url: str,
    target: Path,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    size: int | None = None,
    mirror: str | None = None,
    magic: tuple[bytes, ...] = (),
    limits: Limits = Limits(),  # noqa: B008 - immutable
    title: str | None = None,
) -> None:
    """Bring one file, check it and put it in place.

    A target that is there with the right hash is left alone and nothing is asked. Otherwise the
    bytes gather in ``<target>.part`` (beside it ``.<target>.notes.part``), which a later call goes
    on from, and an old target is replaced once the new file is verified.

    Parameters
    ----------
    url
        Where the file is published, http or https.
    target
        Where it goes; its folder is made.
    md5, sha256
        Expected hashes, hexadecimal. Without any, a file that is there is fetched anew.
    size
        Expected size, bytes.
    mirror
        What stands in for the internet: a URL prefix or a folder, with each file at
        ``<mirror>/<host>/<path>``; the query of the URL is dropped. Nothing else is asked then.
    magic
        What the file may begin with, such as ``(b"PK",)``.
    limits
        Bounds of size, time, tries and downloads at a time.
    title
        What messages call the file; its name if None.

    Raises
    ------
    DataError
        If the file cannot be had or is not what is expected; says how to bring it by hand.
    ConfigError
        If the mirror or an expectation cannot be one.
    """
    wanted = order(
        url,
        target,
        md5=md5,
        sha256=sha256,
        size=size,
        mirror=mirror,
        magic=magic,
        limits=limits,
        title=title,
    )
    checked(url)
    if wanted.target.is_dir():
        raise wanted.failure(f"{target} is a folder, not a file", "move the folder away")
    with _writing(wanted):
        if wanted.is_done():
            return
        source = wanted.source
        if isinstance(source, Path):
            _copy(wanted, source)
            return
        wanted.target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(wanted.target, limits):
            if not wanted.is_done():
                _fetch(wanted)


def _fetch(wanted: Order) -> None:
    """Download, verify and put in place."""
    glued = True
    if not _is_whole(wanted):
        glued = download(wanted)
    problem = wanted.expected.mismatch(wanted.part)
    if problem and glued:
        LOG.warning("%s: %s; it came in pieces, fetching it anew", wanted.title, problem)
        forget(wanted)
        glued = download(wanted)
        problem = wanted.expected.mismatch(wanted.part)
    problem = problem or _not_data(wanted, wanted.part)
    if problem:
        forget(wanted)
        raise wanted.failure(
            f"what came is wrong and was thrown away: {problem}",
            "look whether a new version was published or a proxy changes files",
        )
    with wanted.part.open("rb") as handle:
        os.fsync(handle.fileno())
    wanted.part.replace(wanted.target)
    forget(wanted)


def _is_whole(wanted: Order) -> bool:
    """Whether an earlier call brought all and was killed before it put the file in place."""
    totals = {wanted.expected.size, noted(wanted).get("total")} - {None}
    return wanted.expected.hashed and done(wanted) > 0 and done(wanted) in totals


def _copy(wanted: Order, source: Path) -> None:
    """Bring a file from a folder that mirrors the internet."""
    if not source.is_file():
        raise wanted.failure("the mirror lacks the file, looked for there", "put it there")
    size = source.stat().st_size
    if size > wanted.limits.max_bytes:
        raise wanted.failure(f"it is larger than the limit of {wanted.limits.max_bytes} bytes")
    try:
        reading = source.open("rb")
    except OSError as error:
        raise wanted.failure(f"it cannot be read: {error.strerror}", "see its owner") from error
    with reading, whole_file(wanted.target) as part:
        with part.open("wb") as handle:
            shutil.copyfileobj(reading, handle, 1 << 20)
        problem = _not_data(wanted, part) or wanted.expected.mismatch(part)
        if problem:
            raise wanted.failure(f"the mirror's file is wrong: {problem}", "replace it there")


def _not_data(wanted: Order, path: Path) -> str | None:
    """Why a whole file is not data."""
    with path.open("rb") as handle:
        problem = not_data(handle.read(HEAD), "", wanted.magic, wanted.target.name)
    return f"it is not the file but {problem}" if problem else None


@contextmanager
def _writing(wanted: Order) -> Iterator[None]:
    """Troubles of the disk in words; what came is kept."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: could not write {wanted.target} ({done(wanted)} bytes came "
                "and are kept)",
                "free some space and start again, and it goes on from there",
            ) from error
        raise DataError(
            f"cannot write {wanted.target}: {error.strerror or error}",
            "check that its folder is one, who owns it, and that the disk is not read-only",
        ) from error
