"""Small pieces of HTML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

import pandas as pd


def interval(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval, as text."""
    text = number(row["estimate"])
    if pd.notna(row["ci_low"]):
        text += f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
    return text


def number(value: Any) -> str:
    """A number with the digits that matter, or a dash."""
    return "–" if pd.isna(value) else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"


def p_text(value: float) -> str:
    """A p with its sign, as HTML."""
    return "&lt; 0.001" if value < 0.001 else f"= {value:.3f}"


def count(n: int, word: str) -> str:
    """A number of things."""
    return f"{int(n):,} {word}{'' if n == 1 else 's'}"


def tag(value: Any, yes: str, no: str) -> str:
    """A coloured word for true, false or not known."""
    if pd.isna(value):
        return '<span class="tag open">not run</span>'
    return f'<span class="tag {"yes" if value else "no"}">{yes if value else no}</span>'


def table(heads: list[str], rows: list[list[str]], numbers: Collection[int] = ()) -> str:
    """A table."""
    if not rows:
        return "<p>None in this run.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    kind = dict.fromkeys(numbers, ' class="number"')
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{kind.get(i, '')}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
