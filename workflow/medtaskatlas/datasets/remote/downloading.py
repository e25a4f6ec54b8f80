"""From a web server to a part file, over as many connections as it takes."""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import write_json
from medtaskatlas.datasets.remote.addresses import host_of
from medtaskatlas.datasets.remote.orders import Order
from medtaskatlas.datasets.remote.pages import HEAD, not_data
from medtaskatlas.datasets.remote.politeness import slot
from medtaskatlas.datasets.remote.progress import Progress
from medtaskatlas.datasets.remote.requesting import Broken, ask, body
from medtaskatlas.datasets.remote.sessions import cut_after, session

if TYPE_CHECKING:
    from requests import Response, Session

LOG = logging.getLogger("medtaskatlas")
ENOUGH = 1 << 20  # bytes that make a broken try count as progress


@dataclass
class Clock:
    """Time that a transfer has left.

    Attributes
    ----------
    order
        For its limits and messages.
    end
        On the monotonic clock, seconds.
    """

    order: Order
    end: float

    def check(self, ahead: float = 0.0, trouble: str = "") -> None:
        """Raise a DataError if the time is over, or will be in some seconds."""
        if time.monotonic() + ahead > self.end:
            raise self.order.failure(
                f"{trouble}it takes longer than {self.order.limits.total:g} s, the limit of one "
                f"transfer; {done(self.order)} bytes came and are kept",
                "start again, and it goes on from there",
            )


def download(order: Order) -> bool:
    """Fill the part file of an order.

    Parameters
    ----------
    order
        What to fetch; its source is a URL.

    Returns
    -------
    bool
        Whether the part came over several connections, so that a wrong hash may be the seam's.

    Raises
    ------
    DataError
        If it cannot be had. What came is kept for the next call, unless it is of no use.
    """
    limits = order.limits
    clock = Clock(order, time.monotonic() + limits.total)
    failures, furthest = 0, done(order)
    with session() as (opened, sockets):
        while True:
            try:
                asked = time.monotonic()
                with slot(host_of(str(order.source)), limits):
                    clock.end += time.monotonic() - asked
                    with cut_after(sockets, clock.end - time.monotonic()):
                        return _connection(opened, order, clock)
            except Broken as trouble:
                if done(order) >= furthest + ENOUGH:
                    furthest, failures = done(order), 0
                failures += 1
                if failures >= limits.tries:
                    tries = f"{failures} tries" if failures > 1 else "1 try"
                    raise order.failure(f"{trouble.reason} ({tries})", "try again later") from None
                wait = _pause(order, failures, trouble.wait)
                LOG.warning(
                    "%s: %s; try %d of %d in %.1f s",
                    *(order.title, trouble.reason, failures + 1, limits.tries, wait),
                )
                clock.check(wait, f"{trouble.reason}; ")
            time.sleep(wait)


def done(order: Order) -> int:
    """Bytes of an order that are here."""
    return order.part.stat().st_size if order.part.is_file() else 0


def forget(order: Order) -> None:
    """Throw away what came of an order."""
    order.part.unlink(missing_ok=True)
    order.notes.unlink(missing_ok=True)


def noted(order: Order) -> dict[str, Any]:
    """What is known of the remote file that the part belongs to; empty if nothing is."""
    try:
        notes = json.loads(order.notes.read_text())
    except (OSError, ValueError):
        return {}
    known = isinstance(notes, dict) and notes.get("source") == _source_hash(order)
    return notes if known else {}


def _connection(session: Session, order: Order, clock: Clock) -> bool:
    """Ask once, from where the part ends, and append what comes; whether there was a part."""
    clock.check()
    headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes would fit nothing
    notes = noted(order)
    offset = _usable(order, notes)
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if notes.get("validator"):
            headers["If-Range"] = notes["validator"]
    with closing(ask(session, order, headers)) as response:
        if response.status_code == 416:
            if _range_total(response) == offset:
                return True
            forget(order)
            raise Broken(f"the {offset} bytes that were here do not fit the file; starting anew")
        if response.status_code == 206:
            _check_seam(order, response, notes, offset)
            total = _range_total(response)
        else:
            offset, total = 0, _length(response)
        _receive(order, response, clock, offset, total)
    return offset > 0


def _usable(order: Order, notes: dict[str, Any]) -> int:
    """Bytes of the part that a new connection may go on from; throws the part away if none."""
    here = done(order)
    # Without a hash only the server can say whether its file is still the same.
    trusted = bool(notes) and (notes.get("validator") or order.expected.hashed)
    too_long = order.expected.size is not None and here > order.expected.size
    if here and (not trusted or too_long):
        forget(order)
        return 0
    return here


def _check_seam(order: Order, response: Response, notes: dict[str, Any], offset: int) -> None:
    """Whether a partial answer goes on where the part ends, and of the same file."""
    found = re.match(r"bytes\s+(\d+)-", response.headers.get("Content-Range", ""))
    same = all(
        response.headers.get(header, notes[key]) == notes[key]
        for header, key in (("ETag", "etag"), ("Last-Modified", "modified"))
        if notes.get(key)
    )
    total = _range_total(response)
    if total is not None and notes.get("total") not in (None, total):
        same = False
    if not offset or found is None or int(found[1]) != offset or not same:
        forget(order)
        raise Broken("the rest that the server sent does not fit what was here; starting anew")


def _receive(
    order: Order, response: Response, clock: Clock, offset: int, total: int | None
) -> None:
    """Write a body to the part, watching its size and the clock."""
    size = order.expected.size
    chunks = body(response, order)
    head = b""
    if offset == 0:
        while len(head) < HEAD and (chunk := next(chunks, b"")):
            head += chunk
            clock.check()
        _check_head(order, response, head, total)
    if size is not None and total is not None and total != size:
        packed = response.headers.get("Content-Encoding", "identity")
        note = "" if packed == "identity" else f"; it was sent {packed}-encoded"
        forget(order)
        raise order.failure(
            f"the server announces {total} bytes, expected {size}{note}",
            "look whether a new version was published",
        )
    _check_room(order, offset, total or size or 0)
    if offset == 0:
        forget(order)
        order.part.touch()
        _note(order, response, total)
    most = min(order.limits.max_bytes, size if size is not None else order.limits.max_bytes)
    with (
        order.part.open("ab" if offset else "wb") as handle,
        Progress(order.title, offset, total or size, order.limits) as progress,
    ):
        written = offset
        for chunk in chain([head], chunks):
            if written + len(chunk) > most:
                raise _too_long(order, most)
            if total is not None and written + len(chunk) > total:
                forget(order)
                raise Broken(f"the server sent more than the {total} bytes that it announced")
            handle.write(chunk)
            written += len(chunk)
            progress.add(len(chunk))
            clock.check()
        goal = total if total is not None else size
        if goal is None:
            clock.check()  # a connection that was cut for its time looks like an end
        elif written < goal:
            raise Broken(f"the connection ended after {written} of {goal} bytes")


def _check_head(order: Order, response: Response, head: bytes, total: int | None) -> None:
    """Whether the beginning of a body is that of data."""
    if not head:
        if total != 0:
            raise Broken("the connection ended before the first byte")
        if order.expected.size != 0:
            raise order.failure("the server sent an empty file", "try again later")
    kind = response.headers.get("Content-Type", "")
    # A body that broke within its first bytes says nothing yet.
    cut = total is not None and len(head) < min(HEAD, total)
    problem = None if cut else not_data(head, kind, order.magic, order.target.name)
    if problem:
        forget(order)
        raise order.failure(
            f"what came is not the file but {problem}", "open the URL in a browser to see why"
        )


def _check_room(order: Order, offset: int, total: int) -> None:
    """Whether the file is allowed and has room."""
    if total > order.limits.max_bytes:
        raise _too_long(order, order.limits.max_bytes)
    free = shutil.disk_usage(order.target.parent).free
    if total - offset > free:
        raise DataError(
            f"the disk is full: {order.target} needs {total - offset} bytes more, {free} are free",
            "free some space and start again; nothing that was finished is lost",
        )


def _too_long(order: Order, most: int) -> DataError:
    """Error about a body without end; its bytes are of no use."""
    forget(order)
    if most == order.expected.size:
        return order.failure(
            f"the server sends more than the expected {most} bytes",
            "look whether a new version was published",
        )
    return order.failure(f"it is larger than the limit of {most} bytes", "raise Limits.max_bytes")


def _note(order: Order, response: Response, total: int | None) -> None:
    """Write down which file the part belongs to."""
    etag = response.headers.get("ETag", "")
    modified = response.headers.get("Last-Modified", "")
    # A weak ETag names what the page means, not its bytes; If-Range does not allow it.
    validator = etag if etag and not etag.startswith("W/") else modified
    notes = {
        "source": _source_hash(order),
        "etag": etag,
        "modified": modified,
        "validator": validator,
        "total": total,
    }
    write_json(order.notes, notes)


def _source_hash(order: Order) -> str:
    """Identity of the URL that was asked; a hash, since it may hold a password."""
    return sha256(str(order.source).encode()).hexdigest()


def _length(response: Response) -> int | None:
    """Announced length of a whole body."""
    text = response.headers.get("Content-Length", "")
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) and not chunked else None


def _range_total(response: Response) -> int | None:
    """Length of the whole file as a partial answer has it."""
    found = re.search(r"/\s*([0-9]{1,18})\s*$", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _pause(order: Order, failures: int, asked: float | None) -> float:
    """Seconds to wait before another try; spread, so that many clients do not come at once."""
    limits = order.limits
    wait = min(limits.backoff * 2 ** (failures - 1), limits.backoff_max)
    return max(wait * random.SystemRandom().uniform(0.75, 1.25), asked or 0.0)
