"""Reading recipes: how the files of a dataset become pictures, written in the catalogue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medtaskatlas.datasets.dataset import Content, GroupSource, Part, Split


class Tiles(Part):
    """Square tiles inside disjoint regions; a tile never crosses the border of its region."""

    regions: tuple[int, int] = Field((1, 1), description="rows and columns of regions")
    tile: int = Field(ge=16, description="side of a tile, pixels")
    stride: int = Field(ge=1, description="step between tiles of one region, pixels")
    group: Literal["region", "picture"] = Field(
        "region", description="whether regions are groups, or all are the picture's group"
    )


class Picture(Part):
    """One picture or cine, in one or several encodings, and what is cut from it."""

    files: list[str] = Field(min_length=1, description="encodings of it; the first one is kept")
    group: str = Field(description="patient, study or specimen")
    subject: str | None = Field(None, description="person or specimen, where not the group")
    crop: tuple[int, int, int, int] | None = Field(
        None, description="top, bottom, left, right in pixels, applied first"
    )
    window: tuple[float, float] | None = Field(
        None, description="centre and width after the modality LUT (CT: HU); null takes the file's"
    )
    percentiles: tuple[float, float] | None = Field(
        None, description="percentiles of the picture that become black and white, instead"
    )
    every: int = Field(1, ge=1, description="keep each n-th frame of a cine")
    whole: bool = Field(True, description="keep the (cropped) picture itself")
    tiles: Tiles | None = Field(None, description="tiles to cut from it too")

    @model_validator(mode="after")
    def _one_window(self) -> Picture:
        if self.window and self.percentiles:
            raise ValueError("give `window` or `percentiles`, not both")
        if not self.whole and self.tiles is None:
            raise ValueError("`whole: false` without `tiles` keeps nothing")
        return self


class Bone(Part):
    """Bone by a threshold in HU, inside the body."""

    method: Literal["bone"]
    threshold_hu: float = Field(description="bone is at least this")
    min_px: int = Field(ge=0, description="smaller components are dropped, pixels")


class Vessels(Part):
    """Dark vessels by the Sato ridge filter on the green channel."""

    method: Literal["vessels"]
    sigmas: list[float] = Field(description="widths of the ridges for a picture 1,000 px wide")
    quantile: float = Field(gt=0, lt=1, description="ridge strength within the field of view")
    min_share: float = Field(ge=0, description="least area of a component, share of the picture")


class Stains(Part):
    """Haematoxylin and DAB by colour deconvolution, nuclei by watershed."""

    method: Literal["stains"]
    sigma: float = Field(gt=0, description="smoothing of the stain maps, pixels")
    min_px: int = Field(ge=0, description="smaller nuclei are dropped, pixels")


class Cells(Part):
    """Bright cells by Otsu's threshold, parted by watershed."""

    method: Literal["cells"]
    sigma: float = Field(gt=0, description="smoothing, pixels")
    min_px: int = Field(ge=0, description="smaller cells are dropped, pixels")


Derive = Annotated[Bone | Vessels | Stains | Cells, Field(discriminator="method")]


class Pictures(Part):
    """Recipe of datasets that consist of pictures and cines (DICOM, PNG, JPEG)."""

    kind: Literal["pictures"]
    group_source: GroupSource = Field("published", description="who says what a group is")
    content: Content = Field(Content(), description="what is dropped as empty")
    derive: Derive | None = Field(None, description="how the annotation is derived")
    pictures: list[Picture] = Field(min_length=1, description="the pictures")

    @property
    def files(self) -> list[str]:
        """Names of all files that the recipe reads."""
        return [file for picture in self.pictures for file in picture.files]


class Blocks(Part):
    """Slices along an axis in blocks with gaps; positions are world millimetres (MNI, RAS+)."""

    axis: Literal["axial", "coronal", "sagittal"] = Field(description="plane of the slices")
    first_mm: float = Field(description="position of the first slice")
    last_mm: float = Field(description="no slice lies beyond this")
    step_mm: float = Field(gt=0, description="between slices of a block")
    slices: int = Field(ge=1, description="slices of a block")
    gap_mm: float = Field(gt=0, description="between the last slice of a block and the next block")

    def positions(self) -> list[tuple[int, float]]:
        """Block number from 0 and position in mm of each slice; only whole blocks."""
        span = (self.slices - 1) * self.step_mm
        found: list[tuple[int, float]] = []
        block = 0
        while (start := self.first_mm + block * (span + self.gap_mm)) + span <= self.last_mm:
            found += [(block, start + i * self.step_mm) for i in range(self.slices)]
            block += 1
        return found


class ProbabilityMaps(Part):
    """Classes by probability maps on the image's grid: the largest, if it is large enough."""

    kind: Literal["probability_maps"]
    maps: dict[int, str] = Field(description="class id: file")
    threshold: float = Field(description="least value of a map, in the file's units")

    @property
    def files(self) -> list[str]:
        """Names of all files that are read."""
        return list(self.maps.values())


class LabelVolume(Part):
    """Regions by a label volume (instances), gathered to classes by the names of structures."""

    kind: Literal["label_volume"]
    file: str = Field(description="label volume; another grid is resampled by its affine, nearest")
    table: str = Field(description="CSV with columns id, label, hemisphere, structure")
    structures: dict[int, list[str]] = Field(description="class id: values of the column `label`")

    @property
    def files(self) -> list[str]:
        """Names of all files that are read."""
        return [self.file, self.table]


class Volume(Part):
    """One volume; a group of its own unless the recipe has blocks."""

    file: str = Field(description="NIfTI file")
    group: str = Field(description="name of the volume, and of its group")
    subject: str | None = Field(None, description="person or specimen, where not the group")
    index: int = Field(0, ge=0, description="which volume of a 4-D file")
    slices: list[int] | None = Field(None, description="axial slices to take; null takes all")
    white_percentile: float = Field(
        99.5, gt=0, le=100, description="of the voxels above the mean, becomes white"
    )
    window_by: Literal["volume", "slice"] = Field("volume", description="what is windowed at once")
    quarter_turns: int = Field(
        0, ge=0, le=3, description="counter-clockwise, where the file's affine is no orientation"
    )


class Volumes(Part):
    """Recipe of datasets that consist of volumes (NIfTI)."""

    kind: Literal["volumes"]
    group_source: GroupSource = Field("derived", description="who says what a group is")
    content: Content = Field(Content(), description="what is dropped as empty")
    volumes: list[Volume] = Field(min_length=1, description="the volumes")
    blocks: list[Blocks] = Field([], description="blocks of slices; empty takes axial slices")
    pattern: list[Split] = Field([], description="splits of the blocks of an axis, repeated")
    labels: Annotated[ProbabilityMaps | LabelVolume, Field(discriminator="kind")] | None = Field(
        None, description="where masks come from"
    )

    @model_validator(mode="after")
    def _blocks_have_splits(self) -> Volumes:
        if bool(self.blocks) != bool(self.pattern):
            raise ValueError("`blocks` and `pattern` belong together")
        return self

    @property
    def files(self) -> list[str]:
        """Names of all files that the recipe reads."""
        return [v.file for v in self.volumes] + (self.labels.files if self.labels else [])


Recipe = Annotated[Pictures | Volumes, Field(discriminator="kind")]
