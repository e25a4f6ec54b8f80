"""A dataset: what is known of it, and what its source must say. Imports pydantic alone."""

from __future__ import annotations

import hashlib
import re
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medtaskatlas.core.files import sha256

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Cube, Excluded, Frame
    from medtaskatlas.datasets.remote.remote_file import Limits

MANIFEST = "MANIFEST.json"
Split = Literal["train", "val", "test"]
GroupSource = Literal["published", "pattern", "derived", "region", "unknown"]
LabelKind = Literal["none", "binary", "multi_class", "multi_label", "ordinal"]
NAME_MOST = 80  # characters of a dataset's name, which is a part of file names
MaskKind = Literal["none", "non_zero", "values", "per_category"]  # see sources/npz.py
Modality = Literal[
    "MR", "CT", "XR", "XA", "MG", "US", "NM", "PET", "EM", "FUNDUS", "OCT", "OCTA",
    "DERMOSCOPY", "ENDOSCOPY", "HISTOLOGY", "MICROSCOPY", "PHOTO",
]  # fmt: skip


class Part(BaseModel):
    """A part of the catalogue; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Content(Part):
    """When a cut-out holds too little to be an image of anything; such cut-outs are counted."""

    min_std: float = Field(0, ge=0, description="least standard deviation, grey levels")
    max_extreme: float = Field(
        1, gt=0, le=1, description="largest share of pixels that are black (<= 8) or white (>= 247)"
    )


class Quantity(Part):
    """A measured or planned quantity, of each pixel or of a whole image."""

    unit: str = Field(min_length=1, description="unit of its values, e.g. Gy, mm, years; 1: none")
    description: str = Field("", description="what it is")


class Dataset(Part):
    """A dataset of any source: a source subclasses it, adds its keys, and says how to read it."""

    name: str = Field(
        pattern="^[a-z][a-z0-9_]*$",
        max_length=NAME_MOST,
        description="identifier; the key in the file",
    )
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
    label_kind: LabelKind = Field(
        "none", description="what the labels are; by default binary or multi_class by their number"
    )
    maps: dict[str, Quantity] = Field({}, description="name: quantity that each pixel has")
    values: dict[str, Quantity] = Field({}, description="name: quantity that each image has")
    subjects: str | None = Field(
        None,
        description="whose names its subjects have: shared by datasets of the same people or "
        "specimens; by default its own",
    )
    overlaps: list[str] = Field([], description="datasets that show the same thing")
    split_alike: bool = Field(
        False, description="overlapping datasets have the same splits: what one tests, none trains"
    )
    copy_of: str | None = Field(
        None, description="dataset of a run that this one shows at another size; null: none"
    )
    group_note: str = Field(description="one sentence: what a group is")
    left_out: dict[str, str] = Field({}, description="file of the source: why it is not used")
    reader: str = Field(description="which reader understands the rest")
    folder: str | None = Field(
        None, description="where the raw files are, if they are the user's own: a posix path"
    )
    fingerprint: str = Field("", description="over names, sizes and times of the user's own files")

    # Of a source: whether the catalogue may hold it, and whether its files are downloaded.
    in_catalogue: ClassVar[bool] = True
    downloaded: ClassVar[bool] = False

    @property
    def offers(self) -> frozenset[str]:
        """All that tasks may find: `provides`, and `objects` of instances, boxes or masks.

        Of a mask the objects are the connected parts of each class.
        """
        objects = {"objects"} if {"instances", "boxes", "mask"} & set(self.provides) else set()
        return frozenset({*self.provides, *objects})

    @property
    def labels_are(self) -> LabelKind:
        """Kind of the labels, by their number where it is not written."""
        if self.label_kind != "none" or not self.labels:
            return self.label_kind
        return "binary" if len(self.labels) == 2 else "multi_class"

    @property
    def planes(self) -> tuple[str, ...]:
        """Planes that slices are cut in, where there are several."""
        return ()

    @property
    def windowing(self) -> dict[str, Any]:
        """Its own ``window`` or ``percentiles`` of grey levels; empty where the rules hold."""
        return {}

    @property
    def published(self) -> str:
        """Name in the catalogue."""
        return self.copy_of or self.name

    def as_published(self) -> Self:
        """The dataset itself, whatever a run calls it."""
        return self.model_copy(update={"name": self.published, "copy_of": None})

    def at_another_size(self, name: str) -> Self:
        """The same images under a name of a run's own."""
        return self.model_copy(update={"name": name, "copy_of": self.name})

    def overlapping(self, other: Dataset) -> bool:
        """Whether another dataset shows some of the same."""
        return other.published in {self.published, *self.overlaps}

    def split_like(self, other: Dataset) -> bool:
        """Whether no test image of one is a training image of the other, which overlaps it."""
        return self.published == other.published or (self.split_alike and other.split_alike)

    def subject_id(self, name: str) -> str:
        """Identifier of a person or specimen, the same in all datasets that show it."""
        return f"{self.subjects or self.published}/{name}"

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> Iterable[dict[str, Any]]:
        """Bring the raw files into a folder; not called where they are in the user's own `folder`.

        Parameters
        ----------
        folder
            Folder of the raw files; it exists, and what else lies in it is to be removed.
        image_size
            Side of the images that will be made, pixels.
        mirror
            URL or folder that stands in for the internet.
        limits
            Bounds of downloads; None takes the defaults.

        Returns
        -------
        iterable of dict
            Entries of the manifest, see :meth:`manifest_entry`.

        Raises
        ------
        DataError
            If a file is not available or its content is not what the entry says.
        """
        raise NotImplementedError(f"{self.reader} datasets are the user's own files")

    def is_own(self, file: str) -> bool:
        """Whether a file of the user's own `folder`, relative to it, belongs to the dataset."""
        return True

    @abstractmethod
    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Pictures at native resolution, and those left out with the reason.

        Parameters
        ----------
        folder
            Folder of the raw files.
        image_size
            Side of the images that will be made, pixels.
        limit
            Most images that are of use; a source may ignore it.
        note
            Called with a sentence for each thing that was put right.

        Yields
        ------
        Frame or Excluded
            In an order that depends on entry and files alone.

        Raises
        ------
        DataError
            If a file is missing, damaged, or does not fit to the others.
        """

    @property
    def has_volumes(self) -> bool:
        """Whether there are volumes to make; no file is opened for it but to see what it is."""
        return False

    def read_volumes(
        self, folder: Path, *, volume_size: int, note: Callable[[str], None]
    ) -> Iterator[Cube | Excluded]:
        """Volumes at native resolution, and those left out with the reason; as :meth:`read`.

        Of a volume that is cut into images, the ``volume_id`` is theirs.
        """
        return iter(())

    def place(self, image_size: int) -> str:
        """Folder of the raw data below data/, for images or volumes of so many pixels a side.

        Two folders of a user's own may hold datasets of one name, so each has its manifest.
        """
        place = f"{self.source}/{self.published}"
        if self.folder is None:
            return place
        return f"{place}/{hashlib.sha256(self.folder.encode()).hexdigest()[:8]}"

    def raw_folder(self, image_size: int) -> str:
        """Folder of the raw files: the user's own, or a posix path from the working directory."""
        return self.folder or f"data/{self.place(image_size)}"

    def raw_bytes(self, image_size: int) -> int | None:
        """Size of the raw files, or None where the source does not state it."""
        return 0

    def most_raw_bytes(self, image_size: int) -> int:
        """Upper bound of :meth:`raw_bytes`, from the size without compression if need be."""
        return self.raw_bytes(image_size) or 0

    @property
    def n_images(self) -> int | None:
        """Images that the source states to become of it; None where it does not state it."""
        return None

    @property
    def n_volumes(self) -> int | None:
        """Volumes that the source states to become of it; None where it does not state it."""
        return None

    @property
    def split_shares(self) -> dict[Split, float] | None:
        """Share of the images in each published split; None where the run splits them."""
        return None

    @property
    def n_published(self) -> str:
        """Images or volumes as the source counts them, such as ``1,584 volumes``, or a dash."""
        return "-"

    def fetched(self, data: Path) -> str:
        """``yes`` or ``no``, or the sides in pixels that are there of those that are published."""
        if self.folder is not None:
            return "yes"
        return "yes" if (data / self.source / self.name / MANIFEST).is_file() else "no"

    def manifest_entry(
        self, root: Path, file: str, origin: str, licence: str | None = None
    ) -> dict[str, Any]:
        """Entry of one file below `root` in the manifest."""
        path = root / file
        return {
            "file": file,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "origin": origin,
            "licence": licence or self.licence,
        }

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
        if any(not re.fullmatch("[a-z][a-z0-9_]*", name) for name in (*self.maps, *self.values)):
            raise ValueError("names of `maps` and `values` are small letters, digits, underscores")
        if self.label_kind == "binary" and len(self.labels) != 2:
            raise ValueError(f"`label_kind` binary and {len(self.labels)} `labels`")
        if self.label_kind != "none" and not self.labels:
            raise ValueError(f"`label_kind` {self.label_kind} and no `labels`")
        annotated = {*self.provides, *self.maps} - {"colour"}
        if bool(annotated) != (self.annotation != "none"):
            raise ValueError(
                f"`annotation` is {self.annotation}, but there is {sorted(annotated) or 'none'}"
            )
        if annotated and not self.annotation_note:
            raise ValueError("`annotation_note` must say where the annotation comes from")
        return self


def remove_others(folder: Path, names: set[str]) -> None:
    """Remove from a dataset's folder all but the files of some names."""
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
