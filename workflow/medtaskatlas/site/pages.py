"""The pages that are made from the code: ``python -m medtaskatlas.site.pages`` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from medtaskatlas.atlas.tables import document
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.folder.description import Description
from medtaskatlas.site import config_pages as config_docs
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
        extra = "extra" if task.extra else ""
        rows.append([f"`{task.name}`", task.family, extra, task.description, needs, degree, mark])
    head = ["task", "family", "", "what it does", "needs", "severity 0 to 1", "told by format"]
    lead = (
        "# Tasks\n\nMade by `make docs`; do not edit. In pictures: [gallery.md](gallery.md). "
        "Extras run when they are named in `tasks:`.\n\n"
    )
    return lead + _table(head, rows)


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
            d.n_published,
            d.annotation + (f": {d.annotation_note}" if d.annotation_note else ""),
            d.group_note,
            d.licence,
            d.citation,
        ]
        for d in load_catalogue().values()
    ]
    head = [
        "dataset",
        "what it shows",
        "modality",
        "images",
        "annotation",
        "groups",
        "licence",
        "citation",
    ]
    return "# Datasets\n\nMade by `make docs`; do not edit.\n\n" + _table(head, rows)


def dataset_yaml_page() -> str:
    """Make the page of the keys of a folder dataset's dataset.yaml.

    Returns
    -------
    str
        Markdown.
    """
    rows = [
        [
            f"`{name}`",
            "**required**" if field.is_required() else f"`{_yaml(field.get_default())}`",
            str(field.description),
        ]
        for name, field in Description.model_fields.items()
    ]
    lead = (
        "# dataset.yaml\n\nMade by `make docs`; do not edit. How to use it: "
        "[your own data](your_own_data.md).\n\n"
    )
    return lead + _table(["key", "default", "what it is"], rows)


def _yaml(value: object) -> str:
    """A default as YAML has it."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    return json.dumps(value)


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
        DOCS / "dataset_yaml.md": dataset_yaml_page(),
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(f"wrote {file}")
