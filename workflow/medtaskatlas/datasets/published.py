"""Public datasets that are published as npz files: MedMNIST and MedSegBench.

Imported for every dry run, so it needs pydantic only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medtaskatlas.datasets.catalogue import Dataset
from medtaskatlas.datasets.recipes import GroupSource, Part, Split

Layout = Literal["medmnist", "medsegbench"]
LabelKind = Literal["none", "binary", "multi_class", "multi_label", "ordinal"]
MaskKind = Literal["none", "non_zero", "values", "per_category"]

# Sides in pixels that a benchmark publishes each of its datasets at.
SIZES: dict[tuple[Layout, int], set[int]] = {
    ("medmnist", 2): {28, 64, 128, 224},
    ("medmnist", 3): {28, 64},
    ("medsegbench", 2): {128, 256, 512},
}
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


class RemoteFile(Part):
    """A file on the internet."""

    url: str = Field(pattern=r"^https://[^\s/]+/\S+$", description="where it is published")
    md5: str = Field(pattern="^[0-9a-f]{32}$", description="hash that is published with it")
    bytes: int | None = Field(None, gt=0, description="size, where it is known")

    @property
    def name(self) -> str:
        """File name without the query; the file's name in the dataset's folder."""
        return self.url.split("?", 1)[0].rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Where it comes from, as the manifest has it."""
        return self.url


class NpzDataset(Dataset):
    """A dataset that is published as one npz file a size, split into train, val and test.

    Every file holds ``{split}_images``, uint8 [N, H, W] or [N, H, W, 3] (volumes: [N, D, H, W]),
    and the arrays of :meth:`annotation_arrays`. ``masks`` says what their pixels mean:

    - ``non_zero``: any value but 0 is class 1, whether it is written 1, 255 or as object numbers;
    - ``values``: pixel values are the ids of ``classes``;
    - ``per_category``: one array a class, non-zero where the class is, all of the same images.
      Paint them from the highest id to the lowest, so that large structures stay under small ones.

    Where a file has ``{split}_images_{category}`` beside masks of another kind, these are subsets
    of the images by what they show. They repeat images, partly in another split, and are not read;
    ``categories`` names them only.

    The published splits are not free of repetition (one val split holds all of train and test
    again): read train, test and val in this order, so that what is dropped as a copy is in val.
    """

    reader: Literal["npz"]
    layout: Layout = Field(description="which benchmark's names the arrays have")
    dimensions: Literal[2, 3] = Field(2, description="pictures or volumes")
    channels: Literal[1, 3] = Field(description="of the published images")
    label_kind: LabelKind = Field("none", description="what the labels of whole images are")
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
        if set(self.samples) != set(_SPLITS):
            raise ValueError(f"`samples` must count {', '.join(_SPLITS)}")
        return self

    @model_validator(mode="after")
    def _annotation_can_be_read(self) -> NpzDataset:
        labelled = self.layout == "medmnist"
        if labelled != (self.label_kind != "none") or labelled != (self.masks == "none"):
            raise ValueError("`layout` medmnist goes with `label_kind`, medsegbench with `masks`")
        if labelled and (self.label_kind == "binary") != (len(self.labels) == 2):
            raise ValueError(f"`label_kind` {self.label_kind} and {len(self.labels)} `labels`")
        if not labelled and (self.masks == "non_zero") != (len(self.classes) == 1):
            raise ValueError(f"`masks` {self.masks} and {len(self.classes)} `classes`")
        named = list(self.categories.values())
        if self.masks == "per_category" and named != list(self.classes.values()):
            raise ValueError("`masks` per_category needs the `classes` as `categories`, in order")
        return self

    def file_for(self, image_size: int) -> tuple[int, RemoteFile]:
        """The published file that images of a size are best made from.

        Parameters
        ----------
        image_size
            Side of the prepared images, pixels.

        Returns
        -------
        int, RemoteFile
            The smallest published side that is not below it, else the largest; its file.
        """
        enough = [side for side in self.files if side >= image_size]
        side = min(enough) if enough else max(self.files)
        return side, self.files[side]

    def annotation_arrays(self, split: Split) -> list[str]:
        """Arrays of a file that hold the annotation of ``{split}_images``.

        Parameters
        ----------
        split
            Which split.

        Returns
        -------
        list of str
            One name, or one a class in the order of the ids where masks are ``per_category``.
        """
        if self.layout == "medmnist":
            return [f"{split}_labels"]
        if self.masks == "per_category":
            return [f"{split}_label_{category}" for category in self.categories]
        return [f"{split}_label"]
