"""Tables as text: aligned for a terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def aligned_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False
) -> str:
    """Rows in aligned columns; with ``numbers`` all but the first column to the right."""
    lines = [head, *rows]
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
