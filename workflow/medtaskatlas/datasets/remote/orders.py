"""What is to be fetched, what it must be, and the words of the errors about it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.datasets.remote.addresses import in_mirror, shown
from medtaskatlas.datasets.remote.limits import Limits


@dataclass(frozen=True)
class Expected:
    """What a file must be; None is not known.

    Attributes
    ----------
    md5, sha256
        Hexadecimal digits, lower case.
    size
        Bytes.
    """

    md5: str | None = None
    sha256: str | None = None
    size: int | None = None

    @property
    def hashed(self) -> bool:
        """Whether a hash is known, so that a file can be told to be right."""
        return bool(self.md5 or self.sha256)

    def mismatch(self, path: Path) -> str | None:
        """How a file differs from what is expected; None if it does not.

        Parameters
        ----------
        path
            A file; read once a hash.

        Returns
        -------
        str or None
            Expected and found size and hash.
        """
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"expected {self.size} bytes, found {size}"
        for name, expected in (("md5", self.md5), ("sha256", self.sha256)):
            if expected is not None:
                # These find damage, so md5 must work even where it is barred as a safeguard (FIPS).
                digest = partial(hashlib.new, name, usedforsecurity=False)
                with path.open("rb") as handle:
                    found = hashlib.file_digest(handle, digest).hexdigest()
                if found != expected:
                    return f"expected {name} {expected}, found {found} ({size} bytes)"
        return None

    def __str__(self) -> str:
        facts = [f"{k} {v}" for k, v in (("md5", self.md5), ("sha256", self.sha256)) if v]
        facts += [] if self.size is None else [f"{self.size} bytes"]
        return ", ".join(facts) or "neither size nor hash is known"


@dataclass(frozen=True)
class Order:
    """One file to bring.

    Attributes
    ----------
    url
        Where it is published.
    target
        Where it goes.
    expected
        What it must be.
    magic
        What it may begin with; empty if not known.
    limits
        Bounds.
    title
        What messages call it.
    mirror
        URL prefix or folder that stands in for the internet, or None.
    """

    url: str
    target: Path
    expected: Expected
    magic: tuple[bytes, ...]
    limits: Limits
    title: str
    mirror: str | None

    @property
    def part(self) -> Path:
        """Where the bytes gather."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def notes(self) -> Path:
        """Where it is written which remote file the part belongs to."""
        return self.target.with_name(f".{self.target.name}.notes.part")

    @property
    def source(self) -> str | Path:
        """What is asked: the mirror if there is one, else the URL."""
        return self.url if self.mirror is None else in_mirror(self.url, self.mirror)

    def is_done(self) -> bool:
        """Whether the target is there and its hash is right."""
        here = self.expected.hashed and self.target.is_file()
        return here and self.expected.mismatch(self.target) is None

    def failure(self, problem: str, hint: str = "") -> DataError:
        """Error of this order.

        Parameters
        ----------
        problem
            A clause: what went wrong.
        hint
            What to do first.

        Returns
        -------
        DataError
            Says also how the file is brought by hand.
        """
        asked = self._asked()
        where = f" (mirror of {shown(self.url)})" if self.mirror is not None else ""
        remedy = f"{hint}; or " if hint else ""
        return DataError(f"{self.title}: {asked}{where}: {problem}", remedy + self.by_hand())

    def by_hand(self) -> str:
        """How to bring the file without this program."""
        steps = (
            f"bring it by hand: download {shown(self.url)} on a machine that can, check it "
            f"({self.expected}), put it at {self.target}"
        )
        if self.mirror is not None:
            steps += f" or into the mirror at {self._asked()}"
        else:
            steps += " or into a folder by host and path and name that folder as `mirror`"
        return f"{steps}, and start again"

    def _asked(self) -> str:
        source = self.source
        return str(source) if isinstance(source, Path) else shown(source)


def order(
    url: str,
    target: Path,
    *,
    md5: str | None,
    sha256: str | None,
    size: int | None,
    mirror: str | None,
    magic: tuple[bytes, ...],
    limits: Limits,
    title: str | None,
) -> Order:
    """Order from the arguments of a transfer.

    Raises
    ------
    ConfigError
        If a hash or the size cannot be one.
    """
    for key, value, digits in (("md5", md5, 32), ("sha256", sha256, 64)):
        if value is not None and not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", value):
            raise ConfigError(
                f"{shown(url)}: {key} {value!r} is not {digits} hexadecimal digits",
                "correct it in the catalogue",
            )
    if size is not None and size < 0:
        raise ConfigError(f"{shown(url)}: size {size} is negative", "correct it in the catalogue")
    expected = Expected(md5 and md5.lower(), sha256 and sha256.lower(), size)
    target = Path(target)
    return Order(url, target, expected, magic, limits, title or target.name, mirror)
