"""Text: its encoding, foreign text made harmless, tables for a terminal or as Markdown."""

from __future__ import annotations

import codecs
import locale
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence

# They join letters in Persian, Indic scripts and emoji; all other formats can hide or turn text.
_JOINERS = "\u200c\u200d"
_HARMLESS = ("Zs", "Co", "Cn")


def visible(text: str, keep: str = "\n\t") -> str:
    """Text from a file or server, with control characters and the like as escapes.

    They could recolour or overwrite a terminal, or turn the order of what is shown.
    """
    if text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable() or c in keep or c in _JOINERS or unicodedata.category(c) in _HARMLESS
        else c.encode("unicode_escape").decode()
        for c in text
    )


def use_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale says another encoding.

    Names of files, catalogue, configuration and tables are UTF-8 on every machine; LC_ALL=C with
    PYTHONUTF8=0, as some clusters set it, would make ASCII of them.
    """
    encoding = codecs.lookup(locale.getencoding()).name
    if sys.flags.utf8_mode or encoding == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell


def aligned_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False
) -> str:
    """Rows in aligned columns; with ``numbers`` all but the first column to the right."""
    lines = [head, *([visible(cell, keep="") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [numbers and i > 0 for i in range(len(widths))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in lines
    )


def markdown_table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]) + "\n"
