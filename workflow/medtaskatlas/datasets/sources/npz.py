"""Public datasets that are published as npz files: MedMNIST and MedSegBench."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import (
    MANIFEST,
    Dataset,
    GroupSource,
    MaskKind,
    Part,
    Split,
    remove_others,
)

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Cube, Excluded, Frame
    from medtaskatlas.datasets.remote.remote_file import Limits

Layout = Literal["medmnist", "medsegbench"]

# Sides in pixels that a benchmark publishes each of its datasets at.
SIZES: dict[tuple[Layout, int], set[int]] = {
    ("medmnist", 2): {28, 64, 128, 224},
    ("medmnist", 3): {28, 64},
    ("medsegbench", 2): {128, 256, 512},
}


class RemoteFile(Part):
    """A file on the internet."""

    url: str = Field(pattern=r"^https://[^\s/]+/\S+$", description="where it is published")
    md5: str = Field(pattern="^[0-9a-f]{32}$", description="hash that is published with it")
    bytes: int | None = Field(None, gt=0, description="size, where it is known")

    @property
    def name(self) -> str:
        """File name without the query: the name in the dataset's folder."""
        return self.url.split("?", 1)[0].rsplit("/", 1)[-1]


class NpzDataset(Dataset):
    """A dataset that is published as one npz file a size, split into train, val and test.

    Every file holds ``{split}_images``, uint8 [N, H, W] or [N, H, W, 3] (volumes: [N, D, H, W]),
    and the arrays of :meth:`annotation_arrays`. ``masks`` says what their pixels mean:

    - ``non_zero``: any value but 0 is class 1, whether it is written 1, 255 or as object numbers;
    - ``values``: pixel values are the ids of ``classes``;
    - ``per_category``: one array a class, non-zero where the class is, all of the same images.
      Paint them from the highest id to the lowest, so that large structures stay under small ones.

    Where a file has ``{split}_images_{category}`` next to masks of another kind, these are subsets
    of the images by what they show. They repeat images, partly in another split, and are not read;
    ``categories`` names them only.

    The published splits are not free of repetition (one val split holds all of train and test
    again): they are read as train, test, val, so that what is dropped as a copy is in val.
    """

    downloaded: ClassVar[bool] = True

    reader: Literal["npz"]
    layout: Layout = Field(description="which benchmark's names the arrays have")
    dimensions: Literal[2, 3] = Field(2, description="pictures or volumes")
    channels: Literal[1, 3] = Field(description="of the published images")
    masks: MaskKind = Field("none", description="what the pixels of the masks mean")
    categories: dict[str, str] = Field({}, description="suffix of an array: what it holds")
    group_source: GroupSource = Field(
        "unknown", description="published where the split is documented to be by patient or scan"
    )
    samples: dict[Split, Annotated[int, Field(gt=0)]] = Field(description="images a split")
    files: dict[int, RemoteFile] = Field(description="side in pixels: file")

    @model_validator(mode="after")
    def _published_whole(self) -> NpzDataset:
        sizes = SIZES.get((self.layout, self.dimensions))
        if sizes is None:
            raise ValueError(f"`layout` {self.layout} has no sets of {self.dimensions} dimensions")
        if set(self.files) != sizes:
            raise ValueError(f"`files` must have the sizes {sorted(sizes)}, not {list(self.files)}")
        names = [file.name for file in self.files.values()]
        if len(set(names)) < len(names) or not all(name.endswith(".npz") for name in names):
            raise ValueError(f"`files` must have different names that end in .npz, not {names}")
        if set(self.samples) != set(get_args(Split)):
            raise ValueError("`samples` must count train, val, test")
        return self

    @model_validator(mode="after")
    def _annotation_can_be_read(self) -> NpzDataset:
        labelled = self.layout == "medmnist"
        if labelled != (self.label_kind != "none") or labelled != (self.masks == "none"):
            raise ValueError("`layout` medmnist goes with `label_kind`, medsegbench with `masks`")
        if not labelled and (self.masks == "non_zero") != (len(self.classes) == 1):
            raise ValueError(f"`masks` {self.masks} and {len(self.classes)} `classes`")
        named = list(self.categories.values())
        if self.masks == "per_category" and named != list(self.classes.values()):
            raise ValueError("`masks` per_category needs the `classes` as `categories`, in order")
        return self

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> list[dict[str, Any]]:
        """Download the published file of the right size."""
        from medtaskatlas.datasets.archives.extract import check_npz
        from medtaskatlas.datasets.remote.remote_file import Limits
        from medtaskatlas.datasets.remote.transfer import transfer

        file = self.file_for(image_size)[1]
        target = folder / file.name
        transfer(
            file.url,
            target,
            md5=file.md5,
            size=file.bytes,
            mirror=mirror,
            magic=(b"PK",),
            limits=limits or Limits(),
            title=f"{self.name} ({file.name})",
        )
        check_npz(target)
        remove_others(folder, {file.name})
        return [self.manifest_entry(folder, file.name, file.url)]

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Pictures in the order of the file, split by split; `limit` is spread over each split."""
        from medtaskatlas.datasets.io.npz import read_arrays

        path, arrays = self._arrays(folder, image_size)
        yield from read_arrays(
            path,
            label_kind=self.label_kind,
            masks=self.masks,
            arrays=arrays,
            group_source=self.group_source,
            limit=limit,
        )

    @property
    def has_volumes(self) -> bool:
        """Whether volumes are published."""
        return self.dimensions == 3

    def read_volumes(
        self, folder: Path, *, volume_size: int, note: Callable[[str], None]
    ) -> Iterator[Cube | Excluded]:
        """All volumes in the order of the file, split by split; a pictures' set has none."""
        from medtaskatlas.datasets.io.npz import read_cubes

        if self.has_volumes:
            path, arrays = self._arrays(folder, volume_size)
            yield from read_cubes(path, label_kind=self.label_kind, arrays=arrays)

    def _arrays(self, folder: Path, size: int) -> tuple[Path, dict[Split, list[str]]]:
        """File for a size, with as many images as the catalogue says, and annotation arrays."""
        from medtaskatlas.datasets.io.npz import ORDER, NpzStream

        path = folder / self.file_for(size)[1].name
        with NpzStream(path) as stream:
            for split, count in self.samples.items():
                found = stream.shape(f"{split}_images")[0]
                if found != count:
                    raise DataError(
                        f"{path}: {split} has {found} images, the catalogue says {count}",
                        "delete it and fetch it again; if it is a newer release, mend `samples`",
                    )
        return path, {split: self.annotation_arrays(split) for split in ORDER}

    def file_for(self, image_size: int) -> tuple[int, RemoteFile]:
        """Smallest published side that is not below the wanted one, else the largest; its file."""
        enough = [side for side in self.files if side >= image_size]
        side = min(enough) if enough else max(self.files)
        return side, self.files[side]

    def annotation_arrays(self, split: Split) -> list[str]:
        """Arrays that hold the annotation of ``{split}_images``: one, or one a class by its id."""
        if self.layout == "medmnist":
            return [f"{split}_labels"]
        if self.masks == "per_category":
            return [f"{split}_label_{category}" for category in self.categories]
        return [f"{split}_label"]

    def place(self, image_size: int) -> str:
        """Folder of the raw data below data/: each published side has its own."""
        return f"{super().place(image_size)}/{self.file_for(image_size)[0]}"

    def raw_bytes(self, image_size: int) -> int | None:
        """Size of the file that is downloaded, or None where it is not published."""
        return self.file_for(image_size)[1].bytes

    def most_raw_bytes(self, image_size: int) -> int:
        """Size of the file, or that of its arrays where it is not published."""
        side, file = self.file_for(image_size)
        planes = self.channels + max(1, len(self.classes)) * (self.masks != "none")
        return file.bytes or sum(self.samples.values()) * side**self.dimensions * planes

    @property
    def n_images(self) -> int:
        """Images that become of it: of a volume some slices."""
        from medtaskatlas.datasets.io.npz import SLICES

        return sum(self.samples.values()) * (SLICES if self.dimensions == 3 else 1)

    @property
    def n_volumes(self) -> int | None:
        """Volumes that become of it."""
        return sum(self.samples.values()) if self.has_volumes else None

    @property
    def split_shares(self) -> dict[Split, float]:
        """Share of the images in each split."""
        whole = sum(self.samples.values())
        return {split: n / whole for split, n in self.samples.items()}

    @property
    def n_published(self) -> str:
        """Images or volumes that the publisher counts."""
        return f"{sum(self.samples.values()):,}" + " volumes" * (self.dimensions == 3)

    def fetched(self, data: Path) -> str:
        """Sides in pixels that are on this disk, or no."""
        if self.folder is not None:
            return super().fetched(data)
        folder = data / self.source / self.name
        sides = [side for side in self.files if (folder / str(side) / MANIFEST).is_file()]
        return ", ".join(f"{side} px" for side in sides) or "no"
