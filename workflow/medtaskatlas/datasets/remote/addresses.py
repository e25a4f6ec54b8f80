"""URLs: which are fetched, how they are shown, and where their files lie in a mirror."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from medtaskatlas.core.errors import ConfigError, DataError

SECRET = re.compile(r"token|key|secret|passw|signature|credential|auth|^sig$", re.IGNORECASE)


def checked(url: str) -> SplitResult:
    """Parts of a URL that may be fetched.

    Parameters
    ----------
    url
        An http or https URL.

    Returns
    -------
    urllib.parse.SplitResult
        Its parts.

    Raises
    ------
    DataError
        If it is no URL, or of another kind (file, ftp, ...).
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # a property that raises for what is no port
    except ValueError:
        known = False
    if not known or re.search(r"[\s\x00-\x1f\\]", url):
        raise DataError(
            f"{shown(url)} is not an http or https URL", "correct the URL in the catalogue"
        )
    return parts


def host_of(url: str) -> str:
    """Host of a URL with its port, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def shown(url: str) -> str:
    """A URL as messages have it: no user, no password, no token in the query.

    Parameters
    ----------
    url
        Anything; of what is no URL the part before an ``@`` is left out.

    Returns
    -------
    str
        Safe to print.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        _ = parts.port
    except ValueError:
        # A password with a slash ends up in the path.
        return re.sub(r"//.*@", "//", url)
    query = parts.query
    if any(SECRET.search(key) for key, _ in pairs):
        query = urlencode([(k, "hidden" if SECRET.search(k) else v) for k, v in pairs])
    netloc = parts.netloc.rpartition("@")[2]
    path = parts.path if netloc else parts.path.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def is_url(mirror: str) -> bool:
    """Whether a mirror is a URL; else it is a folder."""
    return "://" in mirror


def in_mirror(url: str, mirror: str) -> str | Path:
    """Where the file of a URL lies in a mirror: below its host and its path.

    Parameters
    ----------
    url
        The file's own URL; its query is dropped, its port too.
    mirror
        An http or https URL, or a folder. Symbolic links in a folder are followed: they are its
        owner's.

    Returns
    -------
    str or pathlib.Path
        A URL below the mirror's, or a path below its folder.

    Raises
    ------
    ConfigError
        If the mirror is neither, or the folder does not exist.
    DataError
        If the URL would lead out of the mirror.
    """
    parts = checked(url)
    host = (parts.hostname or "").lower()
    steps = parts.path.split("/")[1:]
    names = [unquote(step, errors="replace") for step in steps]
    safe = all(name not in ("", ".", "..") and not re.search(r"[/\\\x00]", name) for name in names)
    if not names or not safe or not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
        raise DataError(
            f"{shown(url)} has no place in a mirror: its host and path must be plain names",
            "correct the URL in the catalogue",
        )
    if not is_url(mirror):
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise ConfigError(
                f"mirror: the folder {mirror} does not exist",
                "correct `mirror`, or mount the disk that it is on",
            )
        return folder.joinpath(host, *names)
    base = urlsplit(mirror)
    if base.scheme not in ("http", "https") or not base.hostname or base.query or base.fragment:
        raise ConfigError(
            f"mirror: {shown(mirror)} is neither an http(s) URL without a query nor a folder",
            "give the URL up to the hosts' names, or the folder's path without file://",
        )
    return "/".join([mirror.rstrip("/"), host, *steps])
