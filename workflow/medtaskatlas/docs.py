"""The pages that are made from the code: ``python -m medtaskatlas.docs`` writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medtaskatlas import config_docs
from medtaskatlas.atlas.tables import document
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.files import REPOSITORY
from medtaskatlas.tasks.bank import load_bank

DOCS = REPOSITORY / "docs"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def tasks_page() -> str:
    """Make the page of the task bank.

    Returns
    -------
    str
        Markdown.
    """
    rows = []
    for task in load_bank().values():
        ladder = task.ladder
        degree = (
            f"{ladder.effect}, {ladder.mildest:g} to {ladder.strongest:g} ({ladder.unit})"
            if ladder
            else ""
        )
        mark = "yes" if task.format_identifiable else ""
        needs = ", ".join(sorted(task.needs))
        rows.append([f"`{task.name}`", task.family, task.description, needs, degree, mark])
    head = ["task", "family", "what it does", "needs", "severity 0 to 1", "told by format"]
    return "# Tasks\n\nMade by `make docs`; do not edit.\n\n" + _table(head, rows)


def datasets_page() -> str:
    """Make the page of the dataset catalogue.

    Returns
    -------
    str
        Markdown.
    """
    rows = [
        [
            f"`{d.name}`",
            d.title,
            d.modality,
            d.annotation + (f": {d.annotation_note}" if d.annotation_note else ""),
            d.group_note,
            d.licence,
            d.citation,
        ]
        for d in load_catalogue().values()
    ]
    head = ["dataset", "what it shows", "modality", "annotation", "groups", "licence", "citation"]
    return "# Datasets\n\nMade by `make docs`; do not edit.\n\n" + _table(head, rows)


def pages() -> dict[Path, str]:
    """All pages that are made from the code.

    Returns
    -------
    dict
        File to text.
    """
    return {
        config_docs.PAGE: config_docs.render(),
        DOCS / "tables.md": document(),
        DOCS / "tasks.md": tasks_page(),
        DOCS / "datasets.md": datasets_page(),
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(f"wrote {file}")
