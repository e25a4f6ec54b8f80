"""The pages that are made from the code: ``python -m medtaskatlas.site.pages`` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from medtaskatlas.atlas.tables import document
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.core.strict_model import submodels
from medtaskatlas.core.text import markdown_table
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.folder.description import Description
from medtaskatlas.encoders.kinds import KINDS
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.medformer.options import Arm, Medformer, Pretraining
from medtaskatlas.multitask.options import Multitask, ProblemOptions, SystemOptions
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.multitask.systems.options import NetworkOptions
from medtaskatlas.run.config import Config, DatasetFilter, Heldout, Scaling, Splits, UnseenTasks
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer.options import Affinity, SharedFeatures, Transfer, WarmStarts

DOCS = REPOSITORY / "docs"
CONFIG = REPOSITORY / "config"


def pages() -> dict[Path, str]:
    """All pages that are made from the code: file to Markdown."""
    return {
        CONFIG / "README.md": config_page(),
        DOCS / "tables.md": document(),
        DOCS / "figures.md": figures_page(),
        DOCS / "tasks.md": tasks_page(),
        DOCS / "datasets.md": datasets_page(),
        DOCS / "dataset_yaml.md": dataset_yaml_page(),
    }


def config_page() -> str:
    """The manual of the configuration, config/README.md, with its tables of files and of keys."""
    files = [
        [f"[{file.name}]({file.name})", _purpose(file)] for file in sorted(CONFIG.glob("*.yaml"))
    ]
    parts = []
    for heading, model in sections().items():
        rows = [_config_row(key, field) for key, field in model.model_fields.items()]
        table = markdown_table(["key", "type", "default", "what it is"], rows)
        parts.append(f"### {heading}\n\n{' '.join((model.__doc__ or '').split())}\n\n{table}")
    manual = (CONFIG / "README.md").read_text()
    manual = _filled(manual, "files", markdown_table(["file", "what it runs"], files))
    return _filled(manual, "keys", "\n".join(parts))


def _filled(page: str, name: str, content: str) -> str:
    """A page with other content between ``<!-- made: name -->`` and ``<!-- end -->``."""
    begin, end = f"<!-- made: {name} -->\n\n", "\n<!-- end -->"
    before, after = page.split(begin, 1)
    return f"{before}{begin}{content}{end}{after.split(end, 1)[1]}"


def sections() -> dict[str, type[BaseModel]]:
    """Parts of the configuration, by their headings on the page."""
    return {
        "Top level": Config,
        "`datasets` as a filter": DatasetFilter,
        "`heldout`": Heldout,
        "`splits`": Splits,
        "`unseen_tasks`": UnseenTasks,
        "`scaling`": Scaling,
        "`multitask`": Multitask,
        "`multitask`, one of `problems`": ProblemOptions,
        "`multitask`, one of `systems`": SystemOptions,
        **{
            f"`multitask`, options of the system `{name}`": system.options
            for name, system in SYSTEMS.items()
            if system.options.model_fields.keys() - NetworkOptions.model_fields.keys()
        },
        "`transfer`": Transfer,
        "`transfer`, `warm`": WarmStarts,
        "`transfer`, `shared`": SharedFeatures,
        "`transfer`, `affinity`": Affinity,
        "`medformer`": Medformer,
        "`medformer`, one of `pretrainings`": Pretraining,
        "`medformer`, one of `arms`": Arm,
        **{
            f"`encoders`, `{key}` of kind `{kind}`": part
            for kind, model in KINDS.items()
            for key, part in submodels(model).items()
        },
        **{f"`encoders`, kind `{kind}`": model for kind, model in KINDS.items()},
    }


def type_name(hint: Any) -> str:
    """Name of a type in words that a YAML author knows, such as ``list of text, or null``."""
    args = get_args(hint)
    words: dict[Any, Callable[[], str]] = {
        Annotated: lambda: type_name(args[0]),
        Literal: lambda: ", ".join(f"`{value}`" for value in args),
        Union: lambda: ", or ".join(dict.fromkeys(type_name(arg) for arg in args)),
        UnionType: lambda: ", or ".join(dict.fromkeys(type_name(arg) for arg in args)),
        list: lambda: f"list of {type_name(args[0])}",
        tuple: lambda: f"list of {type_name(args[0])}",
        dict: lambda: f"mapping of name to {type_name(args[1])}",
        str: lambda: "text",
        bool: lambda: "true or false",
        int: lambda: "whole number",
        float: lambda: "number",
        Path: lambda: "path",
        NoneType: lambda: "null",
    }
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "section"
    return words[get_origin(hint) or hint]()


def limits(field: FieldInfo) -> str:
    """Bounds of a number, such as ``16 to 1024`` or ``above 0``."""
    bounds = {
        sign: getattr(rule, sign)
        for rule in field.metadata
        for sign in ("ge", "gt", "le", "lt")
        if getattr(rule, sign, None) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"gt": "above", "ge": "at least", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[sign]} {bounds[sign]}" for sign in words if sign in bounds)


def _default(field: FieldInfo) -> str:
    """Default value as it would stand in YAML."""
    value = field.get_default()
    if field.is_required():
        return "**required**"
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{value if value and isinstance(value, str) else json.dumps(value, default=str)}`"


def _config_row(key: str, field: FieldInfo) -> list[str]:
    """One line of a table."""
    kind = "; ".join(filter(None, [type_name(field.annotation), limits(field)]))
    # parse_config fills in the kind, so that `pixels: {}` is enough.
    default = "the encoder's name" if key == "kind" else _default(field)
    return [f"`{key}`", kind, default, str(field.description)]


def _purpose(file: Path) -> str:
    """First sentence of the comment at the top of a configuration file."""
    lines = re.match(r"(# .*\n)*", file.read_text())
    assert lines is not None
    text = " ".join(line.removeprefix("# ") for line in lines[0].splitlines())
    return text.split(". ")[0].rstrip(".")


def tasks_page() -> str:
    """The page of the task bank."""
    rows = [
        [
            f"`{task.name}`",
            task.family,
            "extra" if task.extra else "",
            task.description,
            ", ".join(sorted(task.needs)),
            str(task.ladder or ""),
            "yes" if task.format_identifiable else "",
        ]
        for task in load_bank().values()
    ]
    head = ["task", "family", "", "what it does", "needs", "severity 0 to 1", "by its format"]
    lead = (
        "# Tasks\n\nMade by `make docs`; do not edit. In pictures: [gallery.md](gallery.md). "
        "Extras run when they are named in `tasks:`.\n\n"
    )
    return lead + markdown_table(head, rows)


def datasets_page() -> str:
    """The page of the dataset catalogue."""
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
    head = ["dataset", "what it shows", "modality", "images", "annotation", "groups"]
    head += ["licence", "citation"]
    return "# Datasets\n\nMade by `make docs`; do not edit.\n\n" + markdown_table(head, rows)


def figures_page() -> str:
    """The page of the figures."""
    rows = [
        [
            f"`{figure.name}`",
            figure.label,
            figure.category,
            ", ".join(f"`{source}`" for source in figure.inputs.values()),
            figure.when or "",
        ]
        for figure in FIGURES.values()
    ]
    lead = (
        "# Figures\n\nMade by `make docs` from `medtaskatlas.figures.registry`; do not edit. "
        "`results/<run>/figures/<figure>.svg` and `.png` (`findings`: `.html`), and "
        "`report.html` with captions.\n\n"
    )
    head = ["figure", "what it shows", "chapter of the report", "drawn from", "in runs with"]
    return lead + markdown_table(head, rows)


def dataset_yaml_page() -> str:
    """The page of the keys of a folder dataset's dataset.yaml."""
    rows = [
        [f"`{name}`", _default(field), str(field.description)]
        for name, field in Description.model_fields.items()
    ]
    lead = (
        "# dataset.yaml\n\nMade by `make docs`; do not edit. How to use it: "
        "[your own data](your_own_data.md).\n\n"
    )
    return lead + markdown_table(["key", "default", "what it is"], rows)


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(f"wrote {file}")
