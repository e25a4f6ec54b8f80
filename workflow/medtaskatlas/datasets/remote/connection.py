"""HTTP requests that end in time, follow redirects with care and sort what goes wrong."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.remote.remote_file import HEAD, RemoteFile, quoted
from medtaskatlas.datasets.remote.urls import checked, host_of, shown

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 1 << 18
# Meaning of a status, and what to do about it.
MEANINGS = {
    401: ("it wants a login", "get access"),
    403: (
        "access is refused: a login, a licence to accept, or a network that is not allowed",
        "open the URL in a browser and get access",
    ),
    404: ("there is no such file: moved, withdrawn or misspelt", "look for the file's new URL"),
    407: ("the proxy wants a login", ""),
    410: ("the file was withdrawn", ""),
    429: ("too many requests", ""),
    451: ("barred for legal reasons", ""),
}


class TransientError(Exception):
    """A failure that may pass; ``wait``: seconds that the server asked for (Retry-After)."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Deadline:
    """End of a transfer's time, at which its connections are shut down.

    A time-out of a socket begins anew with each byte, so a server that sends its headers one by
    one could hold a process, and its slot, for ever.
    """

    def __init__(self, seconds: float, step: float) -> None:
        self.end = time.monotonic() + seconds
        self.step = step  # seconds that headers, a piece of a body or trailers may take
        self.moved = math.inf
        self.late = False
        self.sockets: list[socket.socket] = []

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.end - time.monotonic()

    def check(self) -> None:
        """Raise an error if the time is over: a connection that was shut down looks complete."""
        if self.left < 0:
            raise TransientError("the time is over")
        if self.late:
            raise TransientError(f"nothing useful came for {self.step:g} s")

    def watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Bytes as they come, each piece within the time of a step."""
        for chunk in chunks:
            self.moved = time.monotonic()
            yield chunk

    def watch(self, opened: socket.socket) -> None:
        """Shut this connection down too."""
        self.sockets.append(opened)
        if self.left < 0:
            self._shut()

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Run the timer."""
        self.moved, self.late, done = time.monotonic(), False, threading.Event()

        def watch() -> None:
            while (wait := min(self.left, self.moved + self.step - time.monotonic())) > 0:
                if done.wait(min(wait, threading.TIMEOUT_MAX)):
                    return
            self.late = self.left > 0
            self._shut()

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _shut(self) -> None:
        for each in list(self.sockets):
            with contextlib.suppress(OSError):
                # The plain socket's method: TLS would first wait for the other side.
                socket.socket.shutdown(each, socket.SHUT_RDWR)


def session(deadline: Deadline) -> Session:
    """Session of requests whose connections end in time, and that leaves redirects alone."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    class Plain(Session):
        def get_redirect_target(self, resp: Response) -> str | None:
            return None  # else requests would read a redirect's body, however long

    class Watched(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            kind: type[Any] = pool.ConnectionCls

            def connect(connection: Any) -> None:
                kind.connect(connection)
                deadline.watch(connection.sock)

            if not hasattr(kind, "watched"):
                members = {"connect": connect, "watched": True}
                pool.ConnectionCls = type(kind.__name__, (kind,), members)
            return pool

    plain = Plain()
    plain.headers["User-Agent"] = "medtaskatlas"
    plain.mount("http://", Watched())
    plain.mount("https://", Watched())
    return plain


def request(opened: Session, file: RemoteFile, headers: dict[str, str]) -> Response:
    """Answer 200, 206 or 416 with an unread body, after redirects.

    A TransientError if another try may help, a DataError if none will.
    """
    url = str(file.source)
    for _ in range(file.limits.redirects + 1):
        response = _send(opened, file, url, headers)
        if not response.is_redirect:
            _check_status(file, response)
            return response
        # Python reads headers as Latin-1; servers send UTF-8.
        location = response.headers["Location"].encode("latin-1").decode(errors="replace")
        response.close()
        url = redirected(file, url, location)
    raise file.failure(
        f"it was redirected more than {file.limits.redirects} times",
        "open the URL in a browser and correct it in the catalogue",
    )


def body(response: Response, file: RemoteFile) -> Iterator[bytes]:
    """Bytes of an answer as they come, undecoded; a TransientError if the connection breaks."""
    from urllib3.exceptions import HTTPError

    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
    except (HTTPError, OSError) as error:
        raise TransientError(_reason(error, file)) from None


def redirected(file: RemoteFile, url: str, location: str) -> str:
    """Target of a redirect; on the same host it keeps user and password.

    A DataError if it is another kind of URL, http after https, or not on the mirror's host.
    """
    target, old = location, urlsplit(url)
    try:
        target = urljoin(url, location)
        parts = checked(target)
    except (DataError, ValueError):  # ValueError: brackets that hold no address
        raise file.failure(
            f"it redirects to {shown(target)}, which is not an http or https URL",
            "correct the URL in the catalogue",
        ) from None
    if old.scheme == "https" and parts.scheme == "http":
        raise file.failure(
            f"it redirects from https to http ({shown(target)}), where anybody may read along "
            "and change the data",
            "look for an https URL of the file",
        )
    if file.mirror is not None and parts.hostname != old.hostname:
        raise file.failure(
            f"the mirror redirects to another host ({shown(target)}), and with a mirror no other "
            "is asked",
            "let the mirror serve the file itself",
        )
    user, at, _ = old.netloc.rpartition("@")
    if at and "@" not in parts.netloc and host_of(target) == host_of(url):
        return parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
    return target


def _send(opened: Session, file: RemoteFile, url: str, headers: dict[str, str]) -> Response:
    """One request without redirects."""
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    times = (file.limits.connect, file.limits.stall)
    try:
        return opened.get(url, headers=headers, stream=True, allow_redirects=False, timeout=times)
    except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema):
        # The text of these errors holds the whole URL, so it is not passed on.
        problem = "it is no URL that can be asked, or the proxy of the environment is none"
        raise file.failure(problem, "correct the catalogue or HTTPS_PROXY") from None
    except (exceptions.RequestException, HTTPError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise file.failure(
                f"the certificate of {host_of(url)} is not trusted",
                "check the clock; behind a proxy that reads along, name its certificates in "
                "REQUESTS_CA_BUNDLE",
            ) from None
        raise TransientError(_reason(error, file)) from None


def _check_status(file: RemoteFile, response: Response) -> None:
    """Close an answer that holds no data and raise an error with what it says."""
    status = response.status_code
    # 416 to a request without a range is as senseless as any other 4xx.
    if status in (200, 206) or (status == 416 and "Range" in response.request.headers):
        return
    meaning, hint = MEANINGS.get(status, (response.reason, ""))
    with response:
        if status in (408, 425, 429) or status >= 500:
            wait = _retry_after(response, file.limits.retry_after_max)
            meaning = meaning or "it is in trouble"
            raise TransientError(f"the server answered {status} ({meaning})", wait)
        head = b""
        with contextlib.suppress(TransientError):
            for chunk in body(response, file):
                head += chunk
                if len(head) >= HEAD:
                    break
    problem = f"the server answered {status} ({meaning or 'unexpected'})"
    if (quote := quoted(head)) != '""':
        problem += f" and says {quote}"
    if file.mirror is not None and status in (404, 410):
        problem = f"the mirror lacks the file, looked for there; {problem}"
        hint = "put the file there"
    raise file.failure(problem, hint)


def _retry_after(response: Response, most: float) -> float:
    """Seconds of Retry-After, capped; 0 if there is none or it makes no sense."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    text = response.headers.get("Retry-After", "").strip()
    try:
        return min(Retry().parse_retry_after(text), most) if 0 < len(text) <= 100 else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _reason(error: BaseException, file: RemoteFile) -> str:
    """A failure in plain words; never the library's text, which may hold parts of the URL."""
    from urllib3 import exceptions as urllib3_

    host, limits = host_of(str(file.source)), file.limits
    reasons: dict[type[BaseException], str] = {
        urllib3_.ProxyError: "the proxy of the environment cannot be reached "
        "(HTTPS_PROXY, HTTP_PROXY)",
        socket.gaierror: f"no address is known for {host} (offline, or no name server)",
        ConnectionRefusedError: f"{host} refused the connection",
        ConnectionResetError: "the connection was reset",
        BrokenPipeError: "the connection was reset",
        urllib3_.ConnectTimeoutError: f"no connection to {host} within {limits.connect:g} s",
        urllib3_.NewConnectionError: f"{host} cannot be reached",
        TimeoutError: f"no byte came for {limits.stall:g} s",
        urllib3_.SSLError: f"no secure connection to {host}",
    }
    causes = [error]
    for cause in causes:  # grows: what the libraries wrap is an argument, a reason or a cause
        inner = [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
        causes += [e for e in inner if isinstance(e, BaseException) and e not in causes]
    found = (reasons[kind] for kind in reasons if any(isinstance(c, kind) for c in causes))
    return next(found, f"the connection broke ({type(causes[-1]).__name__})")
