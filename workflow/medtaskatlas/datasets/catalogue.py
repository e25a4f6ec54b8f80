"""The catalogue: every dataset of config/datasets/. Imports pydantic and yaml alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medtaskatlas.core.errors import ConfigError, nearest, yaml_mistake
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.sources import SOURCES

CATALOGUE = REPOSITORY / "config" / "datasets"
HEAD = ["name", "modality", "body part", "images", "annotation", "licence", "fetched", "title"]


def load_catalogue(folder: Path = CATALOGUE) -> dict[str, Dataset]:
    """All datasets of a catalogue folder.

    Parameters
    ----------
    folder
        Folder of YAML files; each maps names to datasets.

    Returns
    -------
    dict of str to Dataset
        In the order of the files' names, then of the entries.

    Raises
    ------
    ConfigError
        Names the file, the dataset and the key of each mistake.
    """
    files = sorted(Path(folder).glob("*.yaml"))
    if not files:
        raise ConfigError(
            f"{folder} holds no catalogue (*.yaml)", "restore it: git checkout config"
        )
    found: dict[str, Dataset] = {}
    for path in files:
        for name, entry in _entries(path).items():
            if name in found:
                raise ConfigError(f"{path}: {name} is defined twice", "give one another name")
            found[name] = checked_entry(path, name, entry)
    for name, dataset in found.items():
        for other in dataset.overlaps:
            if other not in found or name not in found[other].overlaps:
                raise ConfigError(
                    f"catalogue: {name}.overlaps names {other}, which is unknown or does not "
                    f"name {name} in turn",
                    nearest(other, set(found) - {name}),
                )
    return found


def dataset_from_entry(entry: Mapping[str, Any]) -> Dataset:
    """A dataset from what :meth:`Dataset.model_dump` gave, as rules pass it to their scripts."""
    return SOURCES[entry["reader"]].model_validate(entry)


def listing(
    datasets: Iterable[Dataset], data: Path, *, only_fetched: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Datasets as a table for people.

    Parameters
    ----------
    datasets
        The datasets.
    data
        Folder of the fetched data.
    only_fetched
        Leave out what is not on this disk.

    Returns
    -------
    head, rows
        Names of the columns; one row a dataset. Images are counted where the source states them.
    """
    rows = [
        [
            dataset.name,
            dataset.modality,
            dataset.body_part,
            dataset.n_published,
            ", ".join(p for p in dataset.provides if p != "colour") or "none",
            textwrap.shorten(dataset.licence, 40, placeholder=" ..."),
            fetched,
            dataset.title,
        ]
        for dataset in datasets
        if (fetched := dataset.fetched(data)) != "no" or not only_fetched
    ]
    return HEAD, rows


def _entries(path: Path) -> Mapping[str, Any]:
    """Mapping in a catalogue file."""
    try:
        # CSafeLoader is ten times faster; this is read for every dry run.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        raw = yaml.load(path.read_text(), Loader=loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {yaml_mistake(error)}", "mend that line") from None
    if not isinstance(raw, Mapping) or not all(isinstance(v, Mapping) for v in raw.values()):
        raise ConfigError(f"{path} must map names of datasets to their keys", "see its header")
    return raw


def checked_entry(path: Path, name: str, entry: Mapping[str, Any]) -> Dataset:
    """A dataset from what a file says of it; an error names file, dataset and key."""
    reader = str(entry.get("reader"))
    known = {name: source for name, source in SOURCES.items() if source.in_catalogue}
    if reader not in known:
        raise ConfigError(f"{path}: {name}.reader: {reader!r} is no reader", nearest(reader, known))
    try:
        return known[reader].model_validate({**entry, "name": name})
    except ValidationError as error:
        lines = []
        for e in error.errors():
            key = ".".join([name, *(str(part) for part in e["loc"])])
            shown = "" if isinstance(e["input"], Mapping) else f" (is {e['input']!r})"
            lines.append(f"{path}: {key}: {e['msg']}{shown}")
        raise ConfigError("\n".join(lines), "correct these keys") from None
