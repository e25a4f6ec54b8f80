"""Downloads that can be trusted: a target is the right file, or it is as it was before."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256 as sha256_of
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, write_json
from medtaskatlas.datasets.remote.connection import (
    Deadline,
    TransientError,
    body,
    request,
    session,
)
from medtaskatlas.datasets.remote.locks import file_lock, host_slot
from medtaskatlas.datasets.remote.remote_file import HEAD, Limits, RemoteFile
from medtaskatlas.datasets.remote.urls import host_of

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["Limits", "transfer"]
LOG = logging.getLogger("medtaskatlas")
VERSION = {
    "etag": "ETag",
    "modified": "Last-Modified",
}  # headers that tell versions of a file apart
ENOUGH = 1 << 20  # bytes that make a broken try count as progress


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
    """Download one file, check it and put it in place.

    A target with the right hash is left alone, without a request. Otherwise the bytes gather in
    ``<target>.part``, which a later call goes on from, and an old target is replaced once the new
    file is verified.

    Parameters
    ----------
    url
        http or https.
    target
        Its folder is made.
    md5, sha256
        Expected hashes, hexadecimal. Without any, a file that is there is fetched anew.
    size
        Expected size, bytes.
    mirror
        All that is asked instead of the internet: a URL prefix or a folder, with each file at
        ``<mirror>/<host>/<path>``.
    magic
        What the file may begin with, such as ``(b"PK",)``.
    limits
        Bounds of size, time, tries and downloads at a time.
    title
        Name in messages; that of the target if None.

    Raises
    ------
    DataError
        If the file is not available or not as expected; says how to bring it by hand.
    ConfigError
        If the mirror or an expectation cannot be one.
    """
    title = title or target.name
    file = RemoteFile(url, target, md5, sha256, size, mirror, magic, limits, title)
    if target.is_dir():
        raise file.failure(f"{target} is a folder, not a file", "move the folder away")
    with _disk_errors(file):
        if file.is_done():
            return
        source = file.source
        if isinstance(source, Path):
            _copy(file, source)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(target, limits):
            if not file.is_done():
                _fetch(file)


def _fetch(file: RemoteFile) -> None:
    """Download, verify and put in place."""
    # An earlier call may have been killed between the last byte and the renaming.
    whole = done(file) in (file.size, _notes(file).get("total"))
    resumed = True if whole and file.hashes and done(file) else download(file)
    problem = file.wrong(file.part)
    if problem and resumed:
        LOG.warning("%s: %s; it came in pieces, fetching it anew", file.title, problem)
        forget(file)
        download(file)
        problem = file.wrong(file.part)
    if problem:
        raise _useless(
            file,
            f"what came is wrong and was thrown away: {problem}",
            "look whether a new version was published or a proxy changes files",
        )
    with file.part.open("rb") as handle:
        os.fsync(handle.fileno())
    file.part.replace(file.target)
    forget(file)


def _copy(file: RemoteFile, source: Path) -> None:
    """Copy a file from a folder that mirrors the internet."""
    if not source.is_file():
        raise file.failure("the mirror lacks the file, looked for there", "put it there")
    if source.stat().st_size > file.limits.max_bytes:
        raise file.failure(f"it is larger than the limit of {file.limits.max_bytes} bytes")
    try:
        reading = source.open("rb")
    except OSError as error:
        raise file.failure(f"it cannot be read: {error.strerror}", "see its owner") from error
    with reading, atomic_write(file.target) as part:
        with part.open("wb") as handle:
            shutil.copyfileobj(reading, handle, 1 << 20)
        if problem := file.wrong(part):
            raise file.failure(f"the mirror's file is wrong: {problem}", "replace it there")


@contextmanager
def _disk_errors(file: RemoteFile) -> Iterator[None]:
    """Turn errors of the disk into words; what came is kept."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: could not write {file.target} ({done(file)} bytes came "
                "and are kept)",
                "free some space and start again, and it goes on from there",
            ) from error
        raise DataError(
            f"cannot write {file.target}: {error.strerror or error}",
            "check that its folder is one, who owns it, and that the disk is not read-only",
        ) from error


def download(file: RemoteFile) -> bool:
    """Fill the part over as many connections as it takes.

    True if it was resumed, so that a wrong hash may be the seam's. A DataError keeps what came for
    the next call, unless it is of no use.
    """
    limits, deadline = file.limits, Deadline(file.limits.total, 5 * file.limits.stall)
    failures, furthest = 0, done(file)
    with session(deadline) as opened:
        while True:
            try:
                began = time.monotonic()
                with host_slot(host_of(str(file.source)), limits):
                    deadline.end += time.monotonic() - began
                    with deadline.enforced():
                        return _connect(opened, file, deadline)
            except TransientError as error:
                if done(file) >= furthest + ENOUGH:
                    furthest, failures = done(file), 0
                failures += 1
                left, tries = deadline.left, f"{failures} {'tries' if failures > 1 else 'try'}"
                if failures >= limits.tries and left >= 0:
                    raise file.failure(f"{error} ({tries})", "try again later") from None
                # Spread, so that many clients do not come at once.
                wait = min(limits.backoff * 2 ** (failures - 1), limits.backoff_max)
                wait = max(wait * random.SystemRandom().uniform(0.75, 1.25), error.wait)
                if wait > left:
                    raise file.failure(
                        f"{'' if left < 0 else f'{error}; '}it takes longer than "
                        f"{limits.total:g} s, the limit of one transfer; {done(file)} bytes came "
                        "and are kept",
                        "start again, and it goes on from there",
                    ) from None
                message = "%s: %s; try %d of %d in %.1f s"
                LOG.warning(message, file.title, error, failures + 1, limits.tries, wait)
            time.sleep(wait)


def done(file: RemoteFile) -> int:
    """Bytes that are here."""
    return file.part.stat().st_size if file.part.is_file() else 0


def forget(file: RemoteFile) -> None:
    """Throw away what came."""
    file.part.unlink(missing_ok=True)
    file.notes.unlink(missing_ok=True)


def _notes(file: RemoteFile) -> dict[str, Any]:
    """Headers of the remote file that the part belongs to; empty if not known."""
    try:
        notes = json.loads(file.notes.read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) and notes.get("source") == _source_hash(file) else {}


def _source_hash(file: RemoteFile) -> str:
    """Identity of the URL that was requested; a hash, since it may hold a password."""
    return sha256_of(str(file.source).encode()).hexdigest()


def _connect(opened: Session, file: RemoteFile, deadline: Deadline) -> bool:
    """Request the file from where the part ends and append what comes; whether there was a part."""
    headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes would fit nothing
    offset, notes = done(file), _notes(file)
    # A weak ETag names what the page means, not its bytes; If-Range does not allow it.
    etag = notes.get("etag") or ""
    validator = (not etag.startswith("W/") and etag) or notes.get("modified")
    # Without a hash only the server can say whether its file is still the same.
    trusted = notes and (validator or file.hashes)
    if offset and (not trusted or (file.size is not None and offset > file.size)):
        forget(file)
        offset = 0
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    with request(opened, file, headers) as response:
        span = response.headers.get("Content-Range", "")
        found = re.search(r"/\s*([0-9]{1,18})\s*$", span)
        total = int(found[1]) if found else None
        if response.status_code == 416:
            if total == offset:
                return True
            forget(file)
            raise TransientError(f"the {offset} bytes here do not fit the file; starting anew")
        if response.status_code == 206:
            start = re.match(r"bytes\s+(\d+)-", span)
            same = total is None or notes.get("total") in (None, total)
            for key, name in VERSION.items():
                old = notes.get(key)
                same = same and (not old or response.headers.get(name, old) == old)
            if not (offset and start and int(start[1]) == offset and same):
                forget(file)
                raise TransientError(
                    "the rest that the server sent does not fit what was here; starting anew"
                )
        else:
            length = response.headers.get("Content-Length", "")
            chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
            known = re.fullmatch(r"[0-9]{1,18}", length) and not chunked
            offset, total = 0, int(length) if known else None
        _receive(file, response, deadline, offset, total)
    return offset > 0


def _receive(
    file: RemoteFile, response: Response, deadline: Deadline, offset: int, total: int | None
) -> None:
    """Write a body to the part, watching its beginning, its size and the time."""
    chunks, head = deadline.watched(body(response, file)), b""
    if not offset:
        while len(head) < HEAD and (chunk := next(chunks, b"")):
            head += chunk
        deadline.check()
        _check_head(file, response, head, total)
    _check_size(file, response, offset, total)
    if not offset:
        forget(file)
        file.part.touch()
        notes = {key: response.headers.get(name, "") for key, name in VERSION.items()}
        write_json(file.notes, {"source": _source_hash(file), "total": total, **notes})
    most = file.limits.max_bytes if file.size is None else min(file.limits.max_bytes, file.size)
    goal = file.size if total is None else total
    written, progress = offset, Progress(file, offset, goal)
    with file.part.open("ab") as handle, progress.bar:
        for chunk in chain([head], chunks):
            written += len(chunk)
            if written > most:
                raise _too_long(file)
            if total is not None and written > total:
                forget(file)
                raise TransientError(
                    f"the server sent more than the {total} bytes that it announced"
                )
            handle.write(chunk)
            progress.add(len(chunk))
        deadline.check()
        if goal is not None and written < goal:
            raise TransientError(f"the connection ended after {written} of {goal} bytes")
    progress.log()


def _check_head(file: RemoteFile, response: Response, head: bytes, total: int | None) -> None:
    """Check that the beginning of a body is that of data."""
    if not head and total != 0:
        raise TransientError("the connection ended before the first byte")
    if not head and file.size != 0:
        raise file.failure("the server sent an empty file", "try again later")
    # A body that broke within its first bytes says nothing yet.
    broke = total is not None and len(head) < min(HEAD, total)
    problem = file.not_data(head, response.headers.get("Content-Type", ""))
    if problem and not broke:
        problem = f"what came is not the file but {problem}"
        raise _useless(file, problem, "open the URL in a browser to see why")


def _check_size(file: RemoteFile, response: Response, offset: int, total: int | None) -> None:
    """Check that the announced size is the expected one, allowed and has room."""
    if file.size is not None and total not in (None, file.size):
        packed = response.headers.get("Content-Encoding", "identity")
        note = "" if packed == "identity" else f"; it was sent {packed}-encoded"
        problem = f"the server announces {total} bytes, expected {file.size}{note}"
        raise _useless(file, problem, "look whether a new version was published")
    size = total or file.size or 0
    if size > file.limits.max_bytes:
        raise _too_long(file)
    free = shutil.disk_usage(file.target.parent).free
    if size - offset > free:
        raise DataError(
            f"the disk is full: {file.target} needs {size - offset} bytes more, {free} are free",
            "free some space and start again; nothing that was finished is lost",
        )


def _too_long(file: RemoteFile) -> DataError:
    """Error about a body without end."""
    most = file.limits.max_bytes
    if file.size is not None and file.size <= most:
        problem = f"the server sends more than the expected {file.size} bytes"
        return _useless(file, problem, "look whether a new version was published")
    return _useless(file, f"it is larger than the limit of {most} bytes", "raise Limits.max_bytes")


def _useless(file: RemoteFile, problem: str, hint: str) -> DataError:
    """Error that throws away what came."""
    forget(file)
    return file.failure(problem, hint)


class Progress:
    """Bar on a terminal, else a line in the log every few seconds."""

    def __init__(self, file: RemoteFile, done: int, total: int | None) -> None:
        from tqdm import tqdm

        self.file, self.done, self.total, self.start = file, done, total, done
        self.began = self.told = time.monotonic()
        self.bar = tqdm(  # None: disabled where there is no terminal
            desc=file.title, total=total, initial=done, unit="B", unit_scale=True, disable=None
        )

    def add(self, n: int) -> None:
        """Count bytes."""
        self.done += n
        self.bar.update(n)
        if time.monotonic() - self.told >= self.file.limits.report:
            self.log()

    def log(self) -> None:
        """Tell how far it is, where no bar does."""
        if self.bar.disable:
            self.told = time.monotonic()
            speed = (self.done - self.start) / max(self.told - self.began, 1e-9) / 1e6
            total = self.total
            of = f" of {total / 1e6:.1f} MB ({self.done / total:.0%})" if total else ""
            LOG.info("%s: %.1f MB%s, %.1f MB/s", self.file.title, self.done / 1e6, of, speed)
