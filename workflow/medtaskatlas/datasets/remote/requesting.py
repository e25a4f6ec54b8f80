"""One request: redirects followed with care, troubles sorted into those worth another try."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.remote.addresses import checked, host_of, shown
from medtaskatlas.datasets.remote.orders import Order
from medtaskatlas.datasets.remote.pages import HEAD, words

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 1 << 18
MEANINGS = {
    401: "it wants a login",
    403: "access is refused: a login, a licence to accept, or a network that is not allowed",
    404: "there is no such file: moved, withdrawn or misspelt",
    407: "the proxy wants a login",
    410: "the file was withdrawn",
    429: "too many requests",
    451: "barred for legal reasons",
}


class Broken(Exception):  # noqa: N818 - not an error yet
    """A trouble that may pass: worth another try.

    Parameters
    ----------
    reason
        A clause for messages.
    wait
        Seconds that the server asked to wait.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


def ask(session: Session, order: Order, headers: dict[str, str]) -> Response:
    """Send one request and follow its redirects.

    Parameters
    ----------
    session
        Where cookies and connections are kept.
    order
        What is asked for.
    headers
        Of the request.

    Returns
    -------
    requests.Response
        With status 200, 206 or 416 and an unread body.

    Raises
    ------
    Broken
        If another try may help.
    DataError
        If none will.
    """
    url = str(order.source)
    for _ in range(order.limits.redirects + 1):
        response = _send(session, order, url, headers)
        if not response.is_redirect:
            _judge(order, response)
            return response
        # Python reads headers as Latin-1; servers send UTF-8.
        location = response.headers["Location"].encode("latin-1").decode(errors="replace")
        response.close()
        url = redirected(order, url, location)
    raise order.failure(
        f"it was redirected more than {order.limits.redirects} times",
        "open the URL in a browser and correct it in the catalogue",
    )


def body(response: Response, order: Order) -> Iterator[bytes]:
    """Bytes of an answer as they come, undecoded.

    Parameters
    ----------
    response
        The answer.
    order
        For messages.

    Yields
    ------
    bytes
        What one read of the connection gave, so that the caller can look at the clock.

    Raises
    ------
    Broken
        If the connection ends early, stalls or is reset.
    """
    from urllib3.exceptions import HTTPError

    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
    except (HTTPError, OSError) as error:
        raise Broken(_reason(error, order)) from None


def _send(session: Session, order: Order, url: str, headers: dict[str, str]) -> Response:
    """One request without redirects."""
    from requests import exceptions as trouble
    from urllib3.exceptions import HTTPError

    limits = order.limits
    try:
        return session.get(
            url,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(limits.connect, limits.stall),
        )
    except (trouble.InvalidURL, trouble.InvalidSchema, trouble.MissingSchema):
        # The text of these errors holds the whole URL, so it is not passed on.
        raise order.failure("it is no URL that can be asked", "correct the catalogue") from None
    except trouble.InvalidProxyURL:
        raise order.failure("the proxy of the environment is no URL", "see HTTPS_PROXY") from None
    except (trouble.RequestException, HTTPError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise order.failure(
                f"the certificate of {host_of(url)} is not trusted",
                "check the clock; behind a proxy that reads along, name its certificates in "
                "REQUESTS_CA_BUNDLE",
            ) from None
        raise Broken(_reason(error, order)) from None


def redirected(order: Order, url: str, location: str) -> str:
    """Where a redirect leads, if it may be followed.

    Parameters
    ----------
    order
        For its mirror and messages.
    url
        What was asked.
    location
        The server's header.

    Returns
    -------
    str
        The next URL; on the same host with the same user and password.

    Raises
    ------
    DataError
        If it leads to another kind of URL, from https to http, or away from a mirror's host.
    """
    target = urljoin(url, location)
    try:
        parts = checked(target)
    except DataError:
        raise order.failure(
            f"it redirects to {shown(target)}, which is not an http or https URL",
            "correct the URL in the catalogue",
        ) from None
    old = urlsplit(url)
    if old.scheme == "https" and parts.scheme == "http":
        raise order.failure(
            f"it redirects from https to http ({shown(target)}), where anybody may read along "
            "and change the data",
            "look for an https URL of the file",
        )
    if order.mirror is not None and parts.hostname != old.hostname:
        raise order.failure(
            f"the mirror redirects to another host ({shown(target)}), and with a mirror no other "
            "is asked",
            "let the mirror serve the file itself",
        )
    user, at, _ = old.netloc.rpartition("@")
    if at and "@" not in parts.netloc and host_of(target) == host_of(url):
        return parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
    return target


def _judge(order: Order, response: Response) -> None:
    """Whether an answer holds data; closes it if not."""
    status = response.status_code
    # 416 to a request without a range is as senseless as any other 4xx.
    if status in (200, 206) or (status == 416 and "Range" in response.request.headers):
        return
    try:
        if status in (408, 425, 429) or status >= 500:
            meaning = MEANINGS.get(status) or response.reason or "it is in trouble"
            raise Broken(f"the server answered {status} ({meaning})", _asked_wait(response, order))
        meaning = MEANINGS.get(status) or response.reason or "unexpected"
        quote = _quote(response, order)
    finally:
        response.close()
    hints = {
        401: "get access",
        403: "open the URL in a browser and get access",
        404: "put the file there" if order.mirror else "look for the file's new URL",
    }
    problem = f"the server answered {status} ({meaning}){quote}"
    if order.mirror is not None and status in (404, 410):
        problem = f"the mirror lacks the file, looked for there; {problem}"
    raise order.failure(problem, hints.get(status, ""))


def _quote(response: Response, order: Order) -> str:
    """What the page of an error says."""
    head = b""
    try:
        for chunk in body(response, order):
            head += chunk
            if len(head) >= HEAD:
                break
    except Broken:
        pass
    said = words(head)
    return "" if said == '""' else f" and says {said}"


def _asked_wait(response: Response, order: Order) -> float | None:
    """Seconds of Retry-After, capped; None if there is none or it makes no sense."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    text = response.headers.get("Retry-After", "").strip()
    if not text or len(text) > 100:
        return None
    try:
        wait = Retry().parse_retry_after(text)
    except (InvalidHeader, ValueError, OverflowError):
        return None
    return min(wait, order.limits.retry_after_max)


def _reason(error: BaseException, order: Order) -> str:
    """A trouble in plain words; never the library's text, which may hold parts of the URL."""
    from requests import exceptions as requests_
    from urllib3 import exceptions as urllib3_

    host = host_of(str(order.source))
    limits = order.limits
    kinds: list[tuple[str, tuple[type[BaseException], ...]]] = [
        (
            "the proxy of the environment cannot be reached (HTTPS_PROXY, HTTP_PROXY)",
            (requests_.ProxyError, urllib3_.ProxyError),
        ),
        (
            f"no address is known for {host} (offline, or no name server)",
            (urllib3_.NameResolutionError, socket.gaierror),
        ),
        (f"{host} refused the connection", (ConnectionRefusedError,)),
        ("the connection was reset", (ConnectionResetError, BrokenPipeError)),
        (
            f"no connection to {host} within {limits.connect:g} s",
            (requests_.ConnectTimeout, urllib3_.ConnectTimeoutError),
        ),
        (f"{host} cannot be reached", (urllib3_.NewConnectionError,)),
        (
            f"no byte came for {limits.stall:g} s",
            (requests_.ReadTimeout, urllib3_.ReadTimeoutError, TimeoutError),
        ),
        (f"no secure connection to {host}", (requests_.SSLError, urllib3_.SSLError)),
    ]
    causes = list(_causes(error))
    for reason, types in kinds:
        if any(isinstance(cause, types) for cause in causes):
            return reason
    return f"the connection broke ({type(causes[-1]).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it wraps."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
        todo += [e for e in inner if isinstance(e, BaseException)]
