"""Web pages and error texts that arrive in place of data."""

from __future__ import annotations

import html
import re

HEAD = 4096  # bytes that are enough to know a page and its title


def not_data(head: bytes, content_type: str, magic: tuple[bytes, ...], name: str) -> str | None:
    """Why the beginning of an answer is not that of a data file.

    Parameters
    ----------
    head
        First bytes of the body, up to HEAD.
    content_type
        The server's header; empty if there is none.
    magic
        What the file may begin with; empty if it is not known. Where it is known it decides
        alone, since servers often give wrong types to data files.
    name
        The file's name: only a ``.json`` may be JSON, only ``.html`` a page.

    Returns
    -------
    str or None
        A clause that quotes the page's title or first words; None if it may be data.
    """
    kind = content_type.partition(";")[0].strip().lower()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    page = kind in ("text/html", "application/xhtml+xml") or start.startswith(
        (b"<!doctype html", b"<html")
    )
    json = kind.endswith(("/json", "+json"))
    if magic:
        if head.startswith(magic):
            return None
        page, json = page or start.startswith(b"<"), json or start.startswith((b"{", b"["))
    else:
        page = page and not name.endswith((".html", ".htm"))
        json = json and not name.endswith((".json", ".geojson"))
    if page:
        return f"a web page ({words(head)})"
    if json:
        return f"a JSON message ({words(head)})"
    if magic:
        return f"something else: it begins with {head[:16]!r}, expected {_listed(magic)}"
    return None


def words(head: bytes) -> str:
    """Title of a page, or its first words; one line, quoted.

    Parameters
    ----------
    head
        Beginning of the body.

    Returns
    -------
    str
        At most 120 characters without control characters.
    """
    text = head[:HEAD].decode("utf-8", errors="replace")
    title = re.search(r"<title[^>]*>(.*?)(</title|$)", text, re.IGNORECASE | re.DOTALL)
    if title and title[1].strip():
        text = title[1]
    else:
        text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)|<!--.*?-->|<[^>]*>", " ", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in html.unescape(text)).split())
    return f'"{text[:117]}..."' if len(text) > 120 else f'"{text}"'


def _listed(magic: tuple[bytes, ...]) -> str:
    return " or ".join(repr(start) for start in magic)
