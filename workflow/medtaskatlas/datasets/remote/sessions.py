"""Sessions of requests that leave redirects alone and can be cut off from outside."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response, Session


@contextmanager
def session() -> Iterator[tuple[Session, list[socket.socket]]]:
    """Open a session.

    Redirects are not followed: requests would read their bodies, however long.

    Yields
    ------
    tuple
        The session, and the sockets that it has opened so far, for :func:`cut_after`.
    """
    from requests import Session
    from requests.adapters import HTTPAdapter

    opened: list[socket.socket] = []

    class Plain(Session):
        def get_redirect_target(self, resp: Response) -> str | None:
            return None

    class Recording(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            if not hasattr(pool.ConnectionCls, "records"):
                pool.ConnectionCls = _recording(pool.ConnectionCls, opened)
            return pool

    with Plain() as plain:
        plain.headers["User-Agent"] = "medtaskatlas"
        for scheme in ("http://", "https://"):
            plain.mount(scheme, Recording())
        yield plain, opened


@contextmanager
def cut_after(opened: list[socket.socket], seconds: float) -> Iterator[None]:
    """End all connections when the time is over.

    A time-out of a socket begins anew with each byte, so a server that sends its headers one by
    one could hold a process, and its slot, for ever.

    Parameters
    ----------
    opened
        The sockets of a session.
    seconds
        When to end them.

    Yields
    ------
    None
        While the time runs.
    """

    def cut() -> None:
        for each in list(opened):
            with contextlib.suppress(OSError):
                # The plain socket's method: TLS would first wait for the other side.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    timer = threading.Timer(min(max(seconds, 0.0), threading.TIMEOUT_MAX), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _recording(kind: type[Any], opened: list[socket.socket]) -> type[Any]:
    """Kind of connection that writes down its sockets."""

    def connect(self: Any) -> None:
        kind.connect(self)
        opened.append(self.sock)

    return type(kind.__name__, (kind,), {"connect": connect, "records": True})
