"""The pages that are made from the code: ``python -m medtaskatlas.site.pages`` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from medtaskatlas.atlas.tables import document
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.core.strict_model import submodels
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.folder.description import Description
from medtaskatlas.encoders.kinds import KINDS
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.run.config import Config, DatasetFilter, Heldout, Scaling, Splits, UnseenTasks
from medtaskatlas.tasks.bank import load_bank

DOCS = REPOSITORY / "docs"
CONFIG = REPOSITORY / "config"

INTRODUCTION = """\
<!-- Made by `make docs` from the classes of the configuration; do not edit. -->
# Configuration

A run is described by one YAML file. An unknown key, a wrong type or an unknown name stops the
workflow before anything runs, with the key, the value and the nearest valid names.

| file | what it runs |
|---|---|
{files}

## Datasets

`datasets/*.yaml` is the catalogue: what datasets there are, where they come from and under which
licence; `medtaskatlas datasets` lists it, and so does [docs/datasets.md](../docs/datasets.md).

```yaml
datasets: [kvasir, busi, retinamnist]               # by name, or
datasets: {{source: [medmnist], modality: [CT, MR]}}  # by what they are: all conditions hold
datasets_dir: mine                                  # and every folder dataset in this folder
licences: [CC0-1.0, CC-BY-4.0]                      # only these; says what it left out
heldout: {{datasets: [kvasir]}}                       # never trained on, nor what overlaps it
```

Public sets are downloaded once, checked by their published hash, and kept in `data/`. An
interrupted download goes on where it was. Without internet, `mirror: FOLDER` or
`mirror: http://host/...` takes files from a place that is laid out by host and path
(`FOLDER/zenodo.org/records/...`); a file that is missing is named with its URL, its hash and where
to put it. Of sets that are published at several sizes the smallest one is fetched that is not below
`image_size`.

Your own data: [docs/your_own_data.md](../docs/your_own_data.md).

## Choosing one

```sh
snakemake --cores all                                      # what profiles/default names
snakemake --cores all --configfile config/smoke.yaml       # another file instead of it
snakemake --cores all --config run=small pairs_per_cell=50 # the file, with some keys replaced
snakemake images --cores all --config run=small            # a target comes first
snakemake -n                                               # only say what would run
```

`--config` merges mappings key by key, replaces lists and single values, and drops an encoder that
is null: `--config 'encoders={{pixels: null}}'`.

The default is config/embedded.yaml. A file of your own needs no key that has a default. Results go
to `results/<run>/`: give a run with other settings another name, as above, or Snakemake will update
the results of the old one.

## Targets

`snakemake <target> --cores all`; each makes what it needs. Targets, and files to make, come first:
behind `--config`, `--configfile`, `--resources` or another option that takes several values
Snakemake reads a target as one more of them and stops with a traceback that ends in
`Unparsable value: 'images'` or `No such file or directory: 'images'`.

| target | what it makes |
|---|---|
{targets}
"""

# In the order in which they are made; the Snakefile and workflow/rules/ define them.
TARGETS = {
    "all": "everything below; the default",
    "data": "the raw data: `data/<source>/<dataset>/`",
    "images": "the prepared images: `results/<run>/images/<dataset>.arrow`",
    "pairs": "the pairs: `results/<run>/pairs/<set>/<task>/<dataset>.arrow`",
    "encoders": "the trained networks: `results/<run>/encoders/<encoder>/seed<k>/`",
    "embeddings": "the embedded pairs: `results/<run>/embeddings/<encoder>/seed<k>.parquet`",
    "tables": "the measures: `results/<run>/tables/<table>.parquet`",
    "figures": "the pictures: `results/<run>/figures/<figure>.svg` and `.png`",
    "report": "one page with all of it: `results/<run>/report.html`",
}


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


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def config_page() -> str:
    """The manual of the configuration, config/README.md."""
    files = [
        f"| [{file.name}]({file.name}) | {_purpose(file)} |"
        for file in sorted(CONFIG.glob("*.yaml"))
    ]
    targets = [f"| `{name}` | {what} |" for name, what in TARGETS.items()]
    parts = [INTRODUCTION.format(files="\n".join(files), targets="\n".join(targets))]
    parts.append("## Keys\n")
    for heading, model in sections().items():
        rows = [_config_row(key, field) for key, field in model.model_fields.items()]
        what = " ".join((model.__doc__ or "").split())
        table = _table(["key", "type", "default", "what it is"], rows).replace("| --- ", "|---")
        parts.append(f"### {heading}\n\n{what}\n\n{table}")
    return "\n".join(parts)


def sections() -> dict[str, type[BaseModel]]:
    """Parts of the configuration, by their headings on the page."""
    return {
        "Top level": Config,
        "`datasets` as a filter": DatasetFilter,
        "`heldout`": Heldout,
        "`splits`": Splits,
        "`unseen_tasks`": UnseenTasks,
        "`scaling`": Scaling,
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
    value = field.default
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, BaseModel):
        return "see below"
    if value is None:
        return "`null`"
    return f"`{value}`"


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


def figures_page() -> str:
    """Make the page of the figures.

    Returns
    -------
    str
        Markdown.
    """
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
    return lead + _table(head, rows)


def dataset_yaml_page() -> str:
    """The page of the keys of a folder dataset's dataset.yaml."""
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


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(f"wrote {file}")
