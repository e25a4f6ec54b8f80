"""Errors that a user can act on: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AtlasError(Exception):
    """Base of all errors meant for users; scripts print it without a traceback.

    Parameters
    ----------
    problem
        What is wrong; names the file or the key.
    remedy
        What to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}\n  remedy: {remedy}" if remedy else problem)


class ConfigError(AtlasError):
    """A configuration value that cannot be used."""


class DataError(AtlasError):
    """A file whose content is missing, damaged or not what it must be."""


class TaskError(AtlasError):
    """A task that broke its contract on an image."""


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Sentence naming the valid names nearest to a mistyped one.

    Parameters
    ----------
    name
        What was written.
    known
        What could have been written.
    n
        How many suggestions at most.

    Returns
    -------
    str
        ``did you mean a, b?`` or, where nothing is near, the whole list.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=n, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"valid names: {', '.join(known)}"
