"""A file to download: what it must be, how it is told from a web page, and errors about it."""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.datasets.remote.urls import checked, in_mirror, shown

HEAD = 4096  # bytes that are enough to know a web page and its title


@dataclass(frozen=True)
class Limits:
    """Bounds of one transfer; times in seconds."""

    tries: int = 6  # failures in a row that end it; a try that brings a MiB starts the count anew
    backoff: float = 1.0  # wait before the second try, doubled before each further one
    backoff_max: float = 120.0
    retry_after_max: float = 600.0  # cap of the wait that a server may ask for
    connect: float = 20.0  # longest wait for a connection
    stall: float = 60.0  # longest wait for the next bytes
    total: float = 12 * 3600.0  # of the whole transfer, without waiting for a free slot
    max_bytes: int = 64 * 2**30
    redirects: int = 10  # of one request
    per_host: int = 2  # downloads from a host at a time, over all processes of this user
    slots: Path | None = None  # folder of the locks; None: medtaskatlas-<uid> in the temporary one
    report: float = 10.0  # between two lines in the log

    def __post_init__(self) -> None:
        for key in ("tries", "per_host"):
            if getattr(self, key) < 1:
                raise ConfigError(f"Limits.{key} is {getattr(self, key)}", "use 1 or more")


@dataclass(frozen=True)
class RemoteFile:
    """A published file, its place here, and what is known of it (None: not known)."""

    url: str
    target: Path
    md5: str | None
    sha256: str | None
    size: int | None  # bytes
    mirror: str | None  # URL prefix or folder that stands in for the internet
    magic: tuple[bytes, ...]  # what it may begin with; empty: not known
    limits: Limits
    title: str  # its name in messages

    def __post_init__(self) -> None:
        for key, value, digits in (("md5", self.md5, 32), ("sha256", self.sha256, 64)):
            if value is not None and not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", value):
                raise ConfigError(
                    f"{shown(self.url)}: {key} {value!r} is not {digits} hexadecimal digits",
                    "correct it in the catalogue",
                )
        if self.size is not None and self.size < 0:
            raise ConfigError(
                f"{shown(self.url)}: size {self.size} is negative", "correct it in the catalogue"
            )
        checked(self.url)

    @property
    def hashes(self) -> dict[str, str]:
        """Expected hexadecimal digits by algorithm."""
        return {k: v.lower() for k, v in (("md5", self.md5), ("sha256", self.sha256)) if v}

    @property
    def part(self) -> Path:
        """File that the bytes are gathered in."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def notes(self) -> Path:
        """File that tells which version of the remote file the part belongs to."""
        return self.target.with_name(f".{self.target.name}.notes.part")

    @property
    def source(self) -> str | Path:
        """Place in the mirror if there is one, else the URL."""
        return self.url if self.mirror is None else in_mirror(self.url, self.mirror)

    def is_done(self) -> bool:
        """Whether the target is there and its hash is right."""
        return bool(self.hashes) and self.target.is_file() and not self.mismatch(self.target)

    def mismatch(self, path: Path) -> str | None:
        """Difference of a file's size and hashes from those expected."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"expected {self.size} bytes, found {size}"
        for name, expected in self.hashes.items():
            # These find damage, so md5 must work even where it is barred as a safeguard (FIPS).
            digest = partial(hashlib.new, name, usedforsecurity=False)
            with path.open("rb") as handle:
                found = hashlib.file_digest(handle, digest).hexdigest()
            if found != expected:
                return f"expected {name} {expected}, found {found} ({size} bytes)"
        return None

    def wrong(self, path: Path) -> str | None:
        """Clause on what a complete file is, if not the expected data."""
        with path.open("rb") as handle:
            problem = self.not_data(handle.read(HEAD))
        return f"it is not the file but {problem}" if problem else self.mismatch(path)

    def failure(self, problem: str, hint: str = "") -> DataError:
        """Error that says also how to get the file without this program."""
        source = str(self.source) if isinstance(self.source, Path) else shown(self.source)
        facts = [f"{name} {digits}" for name, digits in self.hashes.items()]
        facts += [] if self.size is None else [f"{self.size} bytes"]
        where, other = "", "a folder by host and path and name that folder as `mirror`"
        if self.mirror is not None:
            where, other = f" (mirror of {shown(self.url)})", f"the mirror at {source}"
        return DataError(
            f"{self.title}: {source}{where}: {problem}",
            f"{hint}{'; or ' if hint else ''}bring it by hand: download {shown(self.url)} on a "
            f"machine that can, check it ({', '.join(facts) or 'neither size nor hash is known'}), "
            f"put it at {self.target} or into {other}, and start again",
        )

    def not_data(self, head: bytes, content_type: str = "") -> str | None:
        """Clause on what a body (its first HEAD bytes) is if not data, such as a login page.

        A known magic decides alone, since servers often give wrong types to data files.
        """
        kind = content_type.partition(";")[0].strip().lower()
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        page = kind in ("text/html", "application/xhtml+xml") or start.startswith(
            (b"<!doctype html", b"<html")
        )
        json = kind.endswith(("/json", "+json"))
        if self.magic:
            if head.startswith(self.magic):
                return None
            page, json = page or start.startswith(b"<"), json or start.startswith((b"{", b"["))
        else:
            page = page and not self.target.name.endswith((".html", ".htm"))
            json = json and not self.target.name.endswith((".json", ".geojson"))
        if page:
            return f"a web page ({quoted(head)})"
        if json:
            return f"a JSON message ({quoted(head)})"
        if self.magic:
            expected = " or ".join(repr(magic) for magic in self.magic)
            return f"something else: it begins with {head[:16]!r}, expected {expected}"
        return None


def quoted(head: bytes) -> str:
    """Title of a page, or its first words: one line, quoted, at most 120 printable characters."""
    text = head[:HEAD].decode("utf-8", errors="replace")
    title = re.search(r"<title[^>]*>(.*?)(</title|$)", text, re.IGNORECASE | re.DOTALL)
    if title and title[1].strip():
        text = title[1]
    else:
        text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)|<!--.*?-->|<[^>]*>", " ", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in html.unescape(text)).split())
    return f'"{text[:117]}..."' if len(text) > 120 else f'"{text}"'
