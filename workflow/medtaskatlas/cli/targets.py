"""``medtaskatlas targets``: what the images of datasets offer to learn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtaskatlas.cli.text import check_filter
from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.text import aligned_table

if TYPE_CHECKING:
    from medtaskatlas.datasets.dataset import Dataset
    from medtaskatlas.problems.problem import Kinds

HEAD = ["dataset", "target", "kind", "images", "subjects", "unit", "classes"]


def targets(
    path: Annotated[
        Path | None,
        typer.Argument(help="results/<run>, or a folder of datasets; default: the catalogue"),
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="only this dataset")] = None,
    targets_dir: Annotated[
        Path | None, typer.Option(help="folder with your own kinds of targets")
    ] = None,
) -> None:
    """List what can be predicted of the images of a run, a folder or the catalogue."""
    from medtaskatlas.core.files import existing_folder
    from medtaskatlas.problems.targets import load_kinds
    from medtaskatlas.tasks.bank import load_bank

    kinds = load_kinds(targets_dir)
    files = sorted(existing_folder(path).glob("images/*.arrow")) if path else []
    if files:
        check_filter("--dataset", dataset, [file.stem for file in files])
        rows = _of_files([f for f in files if not dataset or f.stem in dataset], kinds)
    else:
        entries = _entries(path)
        check_filter("--dataset", dataset, entries)
        rows = _of_entries([d for n, d in entries.items() if not dataset or n in dataset], kinds)
    typer.echo(aligned_table(HEAD, rows) if rows else "none of these datasets is annotated")
    pictures = [t.name for t in load_bank().values() if t.family != "semantic"]
    typer.echo(f"and of any picture, alone or beside these: {', '.join(pictures)}")


def _entries(path: Path | None) -> dict[str, Dataset]:
    """Datasets of a folder or of the catalogue, by name."""
    from medtaskatlas.datasets.catalogue import load_catalogue
    from medtaskatlas.datasets.own import find_folder_datasets

    if path is None:
        return load_catalogue()
    try:
        return find_folder_datasets(path)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: no prepared images (images/*.arrow), and {error.problem}",
            "give a run's folder, results/<run>, or a folder of datasets",
        ) from error


def _of_entries(datasets: Iterable[Dataset], kinds: Kinds) -> list[list[str]]:
    """A row a target of datasets that are not prepared yet."""
    from medtaskatlas.problems.annotations import annotations_of
    from medtaskatlas.problems.problem import offers_of

    return [
        [d.name, o.target, o.kind, d.n_published, "-", o.unit or "-", ", ".join(o.classes) or "-"]
        for d in datasets
        for o in offers_of(annotations_of(d), kinds).values()
        if kinds[o.kind].annotated
    ]


def _of_files(files: Iterable[Path], kinds: Kinds) -> list[list[str]]:
    """A row a target of prepared images, with how many have it."""
    import numpy as np

    from medtaskatlas.formats.images import ImageSet
    from medtaskatlas.problems.annotations import annotations_in
    from medtaskatlas.problems.problem import offers_of

    rows = []
    for file in files:
        images = ImageSet(file)
        subjects = np.array(images.column("subject_id").to_pylist())
        for offer in offers_of(annotations_in(images), kinds).values():
            kind = kinds[offer.kind]
            if kind.annotated:
                there = kind.there(offer.target, images, np.arange(len(images)))
                having = [str(there.sum()), str(len(set(subjects[there])))]
                about = [offer.unit or "-", ", ".join(offer.classes) or "-"]
                rows.append([images.dataset, offer.target, offer.kind, *having, *about])
    return rows
