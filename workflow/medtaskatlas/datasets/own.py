"""The user's own datasets: folders of images, and own copies of the data of other sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medtaskatlas.core.errors import AtlasError, ConfigError
from medtaskatlas.core.files import one_spelling
from medtaskatlas.datasets.catalogue import checked_entry
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.folder.check import check_folder, check_frames
from medtaskatlas.datasets.folder.description import DESCRIPTION, identifier, read_description
from medtaskatlas.datasets.folder.files import Finding, fingerprint, list_files
from medtaskatlas.datasets.folder.sheet import Sheet
from medtaskatlas.datasets.sources.folder import load_folder_dataset


def find_folder_datasets(*datasets_dirs: Path) -> dict[str, Dataset]:
    """Datasets of one or several folders of folders.

    Parameters
    ----------
    datasets_dirs
        Their sub-folders with a dataset.yaml are datasets; or each is one dataset itself.

    Returns
    -------
    dict of str to Dataset
        By name, in the order of the folders. Where one names another in `overlaps`, the other
        one names it in turn. For what is no dataset see :func:`folder_messages`.

    Raises
    ------
    ConfigError
        If a folder holds no dataset, two have one name, or one has mistakes.
    """
    found: dict[str, Dataset] = {}
    place: dict[str, Path] = {}
    for datasets_dir in dict.fromkeys(map(Path, datasets_dirs)):
        folders = _dataset_folders(datasets_dir)[0]
        if not folders:
            raise ConfigError(
                f"{datasets_dir} holds no folder with a {DESCRIPTION}",
                "write one with: medtaskatlas datasets init FOLDER",
            )
        for folder in folders:
            dataset = load_own(folder)
            if dataset.name in found:
                raise ConfigError(
                    f"{folder / DESCRIPTION}: name: {dataset.name} is also the name of "
                    f"{place[dataset.name]}",
                    "give one of them another name",
                )
            found[dataset.name], place[dataset.name] = dataset, folder
    both_ways = {
        name: sorted({*dataset.overlaps, *(n for n, d in found.items() if name in d.overlaps)})
        for name, dataset in found.items()
    }
    return {n: d.model_copy(update={"overlaps": both_ways[n]}) for n, d in found.items()}


def folder_messages(*datasets_dirs: Path) -> list[str]:
    """Sentences about the sub-folders that are no datasets; hidden ones are passed over."""
    return [
        f"{folder} is no dataset: it has no {DESCRIPTION} "
        f"(write one with: medtaskatlas datasets init {folder})"
        for datasets_dir in dict.fromkeys(map(Path, datasets_dirs))
        for folder in _dataset_folders(datasets_dir)[1]
    ]


def load_own(folder: Path) -> Dataset:
    """The dataset of a folder with a dataset.yaml, without reading a pixel.

    A folder of images; or, where `reader` names another source, the user's own copy of its data:
    the keys are those of the catalogue, and `data` is the path of the copy, relative to the folder.
    """
    raw, findings = read_description(folder)
    if findings or raw.get("reader", "folder") == "folder":
        return load_folder_dataset(folder)
    path = folder / DESCRIPTION
    entry = {key: value for key, value in raw.items() if key not in ("name", "data")}
    if not isinstance(data := raw.get("data"), str):
        raise ConfigError(
            f"{path}: data: is {data!r}, not the path of the data",
            f"write `data: PATH`, the folder that the reader {raw['reader']} reads",
        )
    place = folder / data
    if not place.is_dir():
        raise ConfigError(f"{path}: data: there is no folder {place}", "mend `data`")
    entry |= {"folder": one_spelling(place), "fingerprint": fingerprint(list_files(place))}
    return checked_entry(path, str(raw.get("name", identifier(folder))), entry)


def check_own(folder: Path, picture: Path | None = None) -> list[Finding]:
    """Read a dataset of the user's own once and say what is wrong with it; draw a `picture`."""
    raw, findings = read_description(folder)
    if findings or raw.get("reader", "folder") == "folder":
        return check_folder(folder, picture)
    try:
        dataset = load_own(folder)
    except AtlasError as error:
        return [Finding("error", "", "", error.problem, error.remedy)]
    return list(_check(dataset, Path(str(dataset.folder)), picture))


def _check(dataset: Dataset, place: Path, picture: Path | None) -> Iterator[Finding]:
    """All pictures of a dataset."""
    notes: list[str] = []
    frames = dataset.read(place, image_size=64, limit=None, note=notes.append)
    units = {n: q.unit for n, q in {**dataset.maps, **dataset.values}.items()}
    sheet = Sheet(dataset.classes, dataset.labels) if picture else None
    yield from check_frames(frames, place, units, picture, sheet)
    yield from (Finding("warning", "", "", note, "") for note in notes)


def _dataset_folders(datasets_dir: Path) -> tuple[list[Path], list[Path]]:
    """Folders with and without a description."""
    if not datasets_dir.is_dir():
        raise ConfigError(f"there is no folder {datasets_dir}", "mend `datasets_dir`")
    if (datasets_dir / DESCRIPTION).is_file():
        return [datasets_dir], []
    folders = sorted(p for p in datasets_dir.iterdir() if p.is_dir() and not p.name.startswith("."))
    described = [p for p in folders if (p / DESCRIPTION).is_file()]
    return described, [p for p in folders if p not in described]
