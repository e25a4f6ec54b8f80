"""Errors that a user can act on: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable
from pathlib import Path

from medtaskatlas.core.text import visible


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
        # They quote names and texts of files and servers.
        self.problem = visible(problem)
        self.remedy = visible(remedy)
        said = f"{self.problem}\n  remedy: {self.remedy}" if remedy else self.problem
        super().__init__(said)


class ConfigError(AtlasError):
    """A configuration value that cannot be used."""


class DataError(AtlasError):
    """A file whose content is missing, damaged or not what it must be."""


class DivergedError(DataError):
    """A training whose loss is no longer a number."""


class TaskError(AtlasError):
    """A task that broke its contract on an image."""


def unreadable(path: str | Path, error: Exception, remedy: str, kind: str = "") -> DataError:
    """What a library raised on a damaged file, as an error that names the file.

    ``kind`` is what it was read as, e.g. NIfTI.
    """
    said = textwrap.shorten(str(error), 200, placeholder=" ...")
    read_as = f" as {kind}" if kind else ""
    return DataError(f"{path} cannot be read{read_as} ({type(error).__name__}: {said})", remedy)


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Sentence with the at most ``n`` valid names nearest to a mistyped one, or with all of them.

    Case is ignored.
    """
    known = sorted(known)
    if not known:
        return "there are none to choose from"
    folded = [one.casefold() for one in known]
    lower = name.casefold()
    close = (
        [lower] if lower in folded else difflib.get_close_matches(lower, folded, n=n, cutoff=0.5)
    )
    if not close:
        return f"valid names: {', '.join(known)}"
    meant = dict.fromkeys(k for c in close for k, f in zip(known, folded, strict=True) if f == c)
    return f"did you mean {', '.join(meant)}?"


def yaml_mistake(error: Exception) -> str:
    """Line, column and kind of a mistake that PyYAML found, on one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = getattr(error, "problem", None) or "it ends too early"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
