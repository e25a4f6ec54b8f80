"""dataset.yaml of a folder dataset: its keys, checked; pydantic and yaml only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from medtaskatlas.core.errors import nearest, yaml_mistake
from medtaskatlas.core.limits import PlainLoader
from medtaskatlas.datasets.dataset import NAME_MOST, Content, Modality, Part
from medtaskatlas.datasets.folder.files import Finding
from medtaskatlas.datasets.folder.quantities import MAP, VALID, Maps, Values, inside

DESCRIPTION = "dataset.yaml"
TODO = "TODO"  # what `init` writes for the user to fill in


# Keys that speak of files, which an .npz file has none of.
_UNPACKED = (
    *("masks", "instances", "boxes", "splits", "maps", "values"),
    *("group_pattern", "subject_pattern", "label_kind", "exclude", "image_pattern", "mask_pattern"),
)


class Description(Part):
    """What dataset.yaml says."""

    name: str = Field(
        pattern="^[a-z][a-z0-9_]*$",
        max_length=NAME_MOST,
        description="identifier; the folder's name",
    )
    modality: Modality = Field(description="how the images were made")
    body_part: str = Field(description="what they show")
    images: str = Field(description="folder of the images (. for loose ones), or an .npz file")
    title: str | None = Field(None, description="one line for people")
    licence: str | None = Field(None, description="SPDX id or LicenseRef-...")
    source: str | None = Field(None, description="where the data were first published")
    citation: str | None = Field(None, description="what to cite")
    image_pattern: str | None = Field(
        None,
        description="regular expression on the path of an image in `images`, without suffix; its "
        "groups are the image's name, and what it does not find is no image: ^(.+)_0000$",
    )
    masks: str | None = Field(None, description="folder of the masks")
    mask_pattern: str | None = Field(
        None,
        description="the same for masks (or instance maps, where there are no masks), whose names "
        "must be those of the images: ^(.+)_mask$",
    )
    masks_optional: bool = Field(False, description="an image without a mask shows nothing")
    classes: dict[int, str] = Field({}, description="value in the masks: name; 0 is background")
    instances: str | None = Field(None, description="folder of the instance maps")
    labels: str | None = Field(
        None, description="labels.csv: image,label[,group][,subject][,split]"
    )
    label_names: dict[str, str] = Field({}, description="label as written: its name")
    label_kind: Literal["ordinal", "multi_label"] | None = Field(
        None,
        description="ordinal: `label_names` are in order; multi_label: an image has any number of "
        "labels, with bars between them (empty: no finding)",
    )
    boxes: str | None = Field(None, description="boxes.csv: image,x0,y0,x1,y1[,label]")
    maps: dict[str, Maps] = Field(
        {}, description="name of a quantity of each pixel: folder, scale, unit, valid, optional"
    )
    values: dict[str, Values] = Field(
        {}, description="name of a quantity of each image: file (with a column of that name), unit"
    )
    splits: str | None = Field(None, description="splits.csv: image,split[,group][,subject]")
    groups: str | None = Field(None, description="what is known about images that belong together")
    group_pattern: str | None = Field(
        None, description="regular expression on the file name; its first group is the group"
    )
    subject_pattern: str | None = Field(
        None, description="the same for the person or specimen, where it has several groups"
    )
    subjects: str | None = Field(
        None,
        pattern="^[a-z][a-z0-9_]*$",
        description="whose names the subjects have, if other datasets show the same people",
    )
    group_note: str | None = Field(None, description="one sentence: what a group is")
    overlaps: list[str] = Field([], description="datasets that show some of the same")
    annotation: Literal["ground_truth", "derived"] = Field(
        "ground_truth", description="published with the data, or computed"
    )
    annotation_note: str | None = Field(None, description="where the annotation comes from")
    modality_exceptions: dict[str, Modality] = Field({}, description="file: its modality")
    window: tuple[float, float] | None = Field(None, description="centre and width (CT: HU)")
    percentiles: tuple[float, float] | None = Field(
        None, description="percentiles that become black and white, instead of a window"
    )
    axis: Literal["axial", "coronal", "sagittal", "thickest"] = Field(
        "thickest", description="plane of the slices; thickest: across the coarsest spacing"
    )
    slices: int = Field(12, ge=1, description="most slices of a volume")
    index: int = Field(0, ge=0, description="which volume of a 4-D file")
    nifti_transform: Literal["qform", "sform"] | None = Field(
        None, description="which transform of a NIfTI header holds, where the two disagree"
    )
    content: Content | None = Field(None, description="what is left out as empty")
    exclude: dict[str, str] = Field({}, description="image: why it is left out on purpose")

    @field_validator("label_names", mode="before")
    @classmethod
    def _labels_as_text(cls, value: Any) -> Any:
        return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value

    _stays_inside = field_validator("images", "masks", "instances", "labels", "boxes", "splits")(
        inside
    )

    @field_validator("group_pattern", "subject_pattern", "image_pattern", "mask_pattern")
    @classmethod
    def _has_a_group(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from None
            if not groups:
                raise ValueError("needs a group in parentheses, e.g. ^patient(\\d+)_")
        return value

    @field_validator("maps", "values")
    @classmethod
    def _are_named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if bad := [name for name in value if not re.fullmatch("[a-z][a-z0-9_]*", name)]:
            raise ValueError(f"{bad[0]!r} is no name: small letters, digits and underscores")
        return value

    @field_validator("classes")
    @classmethod
    def _fit_into_a_mask(cls, value: dict[int, str]) -> dict[int, str]:
        if any(not 0 < number < 65536 for number in value) or len(value) > 255:
            raise ValueError("values are 1 to 65535, at most 255 of them; 0 is background")
        return value

    @field_validator("window", "percentiles")
    @classmethod
    def _has_width(cls, value: tuple[float, float] | None, info: Any) -> Any:
        if value is not None:
            if info.field_name == "window" and not value[1] > 0:
                raise ValueError("is [centre, width] with a width above 0")
            if info.field_name == "percentiles" and not 0 <= value[0] < value[1] <= 100:
                raise ValueError("is [low, high] with 0 <= low < high <= 100")
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> Description:
        if bool(self.masks) != bool(self.classes):
            raise ValueError("`masks` and `classes` belong together: give both or neither")
        if self.masks_optional and not (self.masks or self.instances):
            raise ValueError("`masks_optional` without `masks` or `instances` means nothing")
        if self.window and self.percentiles:
            raise ValueError("give `window` or `percentiles`, not both")
        if self.annotation == "derived" and not self.annotation_note:
            raise ValueError("`annotation: derived` needs an `annotation_note`: derived how?")
        if self.label_kind and not self.labels:
            raise ValueError(f"`label_kind: {self.label_kind}` without `labels` means nothing")
        if self.label_kind == "ordinal" and len(self.label_names) < 2:
            raise ValueError("`label_kind: ordinal` needs `label_names`, from least to most")
        folders = [*self.beside.values(), self.images]
        if twice := [m.folder for m in self.maps.values() if folders.count(m.folder) > 1]:
            raise ValueError(f"the maps in `{twice[0]}` need a folder of their own")
        if self.packed:
            if self.labels not in (None, self.images):
                raise ValueError("`labels` must name the same .npz file as `images`")
            if bool(self.labels) != bool(self.label_names):
                raise ValueError("`labels` in an .npz file need `label_names`, number: name")
            if set(self.label_names) != {str(n) for n in range(len(self.label_names))}:
                raise ValueError("`label_names` of an .npz file must be 0, 1, ... without holes")
            if other := [key for key in _UNPACKED if getattr(self, key)]:
                raise ValueError(f"`{other[0]}` cannot go with images in an .npz file")
        return self

    @model_validator(mode="after")
    def _masks_are_told_from_images(self) -> Description:
        if self.mask_pattern and not (self.masks or self.instances):
            raise ValueError("`mask_pattern` without `masks` or `instances` means nothing")
        if self.images in (self.masks, self.instances) and not self.mask_pattern:
            raise ValueError("masks in the folder of the images need a `mask_pattern`: ^(.+)_mask$")
        return self

    @property
    def beside(self) -> dict[str, str]:
        """Folder of each kind of picture beside the images: masks, instances, maps and masks."""
        found = {"masks": self.masks, "instances": self.instances}
        for name, maps in self.maps.items():
            found |= {MAP + name: maps.folder, VALID + name: maps.valid}
        return {kind: folder for kind, folder in found.items() if folder}

    def pattern(self, kind: str) -> str | None:
        """Pattern of the names of images, or of a kind of picture beside them."""
        if kind == "images":
            return self.image_pattern
        return self.mask_pattern if kind == ("masks" if self.masks else "instances") else None

    @property
    def tables(self) -> dict[str, str]:
        """File of each key that names a table."""
        named = {key: getattr(self, key) for key in ("labels", "boxes", "splits")}
        named |= {f"values.{name}": values.file for name, values in self.values.items()}
        return {key: file for key, file in named.items() if file}

    @property
    def packed(self) -> bool:
        """Whether all images are in one .npz file."""
        return self.images.lower().endswith(".npz")


# Keys with keys of their own.
_PARTS: dict[str, type[Part]] = {"content": Content, "maps": Maps, "values": Values}


def identifier(folder: Path) -> str:
    """Name of a dataset from that of its folder: small letters, digits, underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    name = name if re.match("[a-z]", name) else f"dataset_{name}"
    return name[:NAME_MOST].rstrip("_")


def read_description(folder: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Keys of dataset.yaml as they are written, and mistakes of the file as YAML."""
    path = folder / DESCRIPTION
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            return {}, [description_finding("", "is no regular file", "replace it by a text file")]
        text = path.read_text(encoding="utf-8-sig")
        # Two keys of one name: YAML forbids it, PyYAML takes the last one without a word.
        node = yaml.compose(text, Loader=PlainLoader)
        raw = yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader
        str(raw)  # fails on a number of thousands of digits
    except OSError as error:
        remedy = f"write one with: medtaskatlas datasets init {folder}"
        return {}, [description_finding("", f"cannot be read: {error.strerror}", remedy)]
    except yaml.YAMLError as error:
        said = f"is not YAML: {yaml_mistake(error)}"
        return {}, [description_finding("", said, "mend that line; text with `: ` needs quotes")]
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        said = f"holds a value that cannot be read: {error}"
        advice = "put dates and long numbers in quotes"
        if isinstance(error, UnicodeDecodeError):
            said, advice = "is not UTF-8 text", "save it as UTF-8"
        return {}, [description_finding("", said, advice)]
    if not isinstance(raw, dict) or not isinstance(node, yaml.MappingNode):
        return {}, [
            description_finding("", "must be keys with values (key: value)", "see the manual")
        ]
    keys = [str(key.value) for key, _ in node.value]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    return raw, [description_finding(key, "is given twice", "keep one") for key in twice]


def check_description(
    raw: Mapping[Any, Any],
) -> tuple[Description | None, list[Finding]]:
    """Description of the keys of dataset.yaml, or None, and a finding for each mistake."""
    findings = [
        description_finding(str(key), "is not filled in", "write what it is, or delete the line")
        for key, value in raw.items()
        if TODO in str(value)
    ]
    reported = {finding.where for finding in findings}
    try:
        keys = {str(k): v for k, v in raw.items() if (k, v) != ("reader", "folder")}
        description = Description.model_validate(keys)
    except ValidationError as error:
        mistakes = [_explain(e) for e in error.errors()]
        return None, findings + [m for m in mistakes if m.where.split(".")[0] not in reported]
    return (None if findings else description), findings


def description_finding(where: str, problem: str, remedy: str) -> Finding:
    """A mistake in dataset.yaml."""
    return Finding("error", DESCRIPTION, where, problem, remedy)


def _explain(error: Any) -> Finding:
    """A validation error as a finding: key, value, nearest valid ones."""
    first, last = (str(error["loc"][i]) if error["loc"] else "" for i in (0, -1))
    key = ".".join(str(part) for part in error["loc"])
    keys = _PARTS.get(first, Description).model_fields if "." in key else Description.model_fields
    if error["type"] == "extra_forbidden":
        return description_finding(key, "is an unknown key", nearest(last, keys))
    if error["type"] == "missing":
        what = keys[last].description if last in keys else ""
        said = f"write `{last}: ...` ({what})"
        return description_finding(key, "is missing", said)
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    shown = "" if isinstance(value, Mapping) else f" (is {value!r})"
    remedy = "correct this key"
    if error["type"] == "literal_error":
        valid = [choice.strip(" '") for choice in re.split(",| or ", error["ctx"]["expected"])]
        remedy = nearest(str(value), valid)
    elif error["type"] == "string_type":
        remedy = f"write it in quotes: {key}: '{value}'"
    elif error["type"] == "string_pattern_mismatch":
        remedy = "small letters, digits and underscores; a letter first"
    return description_finding(key, message + shown, remedy)
