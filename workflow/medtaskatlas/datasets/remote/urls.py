"""URLs: which may be fetched, how messages show them, and where their files lie in a mirror."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from medtaskatlas.core.errors import ConfigError, DataError

SECRET = re.compile(r"token|key|secret|passw|signature|credential|auth|^sig$", re.IGNORECASE)


def checked(url: str) -> SplitResult:
    """Parts of an http or https URL; a DataError if it is of another kind, or none."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # a property that raises if it is not a number
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\x00-\x1f\\]", url):
        raise DataError(
            f"{shown(url)} is not an http or https URL", "correct the URL in the catalogue"
        )
    return parts


def host_of(url: str) -> str:
    """Host of a URL with its port, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def shown(url: str) -> str:
    """A URL for messages: without user, password and tokens in the query."""
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


def in_mirror(url: str, mirror: str) -> str | Path:
    """Place of a URL's file in a mirror: below its host and path, without port and query.

    A mirror is an http or https URL or a folder, whose symbolic links are followed: they are its
    owner's. A ConfigError if it is neither, a DataError if the URL would lead out of it.
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
    if "://" not in mirror:
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
