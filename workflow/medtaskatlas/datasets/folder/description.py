"""dataset.yaml of a folder dataset: its keys, checked; pydantic and yaml only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from medtaskatlas.core.errors import nearest, yaml_mistake
from medtaskatlas.datasets.dataset import Content, Modality, Part
from medtaskatlas.datasets.folder.files import Finding

DESCRIPTION = "dataset.yaml"
TODO = "TODO"  # what `init` writes for the user to fill in


# Keys that speak of files, which an .npz file has none of.
_UNPACKED = ("masks", "instances", "boxes", "splits", "group_pattern", "exclude")


class Description(Part):
    """What dataset.yaml says."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", description="identifier; the folder's name")
    modality: Modality = Field(description="how the images were made")
    body_part: str = Field(description="what they show")
    images: str = Field(description="folder of the images (. for loose ones), or an .npz file")
    title: str | None = Field(None, description="one line for people")
    licence: str | None = Field(None, description="SPDX id or LicenseRef-...")
    source: str | None = Field(None, description="where the data were first published")
    citation: str | None = Field(None, description="what to cite")
    masks: str | None = Field(None, description="folder of the masks")
    masks_optional: bool = Field(False, description="an image without a mask shows nothing")
    classes: dict[int, str] = Field({}, description="value in the masks: name; 0 is background")
    instances: str | None = Field(None, description="folder of the instance maps")
    labels: str | None = Field(None, description="labels.csv: image,label[,group][,split]")
    label_names: dict[str, str] = Field({}, description="label as written: its name")
    boxes: str | None = Field(None, description="boxes.csv: image,x0,y0,x1,y1[,label]")
    splits: str | None = Field(None, description="splits.csv: image,split[,group]")
    groups: str | None = Field(None, description="what is known about images that belong together")
    group_pattern: str | None = Field(
        None, description="regular expression on the file name; its first group is the group"
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
    content: Content | None = Field(None, description="what is left out as empty")
    exclude: dict[str, str] = Field({}, description="image: why it is left out on purpose")

    @field_validator("label_names", mode="before")
    @classmethod
    def _labels_as_text(cls, value: Any) -> Any:
        return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value

    @field_validator("images", "masks", "instances", "labels", "boxes", "splits")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value is not None and (
            PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts
        ):
            raise ValueError("must be a path within the dataset's folder")
        return value if value is None else str(PurePosixPath(value))

    @field_validator("group_pattern")
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

    @property
    def packed(self) -> bool:
        """Whether all images are in one .npz file."""
        return self.images.lower().endswith(".npz")


def identifier(folder: Path) -> str:
    """Name of a dataset from that of its folder: small letters, digits, underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    return name if re.match("[a-z]", name) else f"dataset_{name}".rstrip("_")


def read_description(folder: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Keys of dataset.yaml as they are written, and mistakes of the file as YAML."""
    path = folder / DESCRIPTION
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Two keys of one name: YAML forbids it, PyYAML takes the last one without a word.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except OSError as error:
        remedy = f"write one with: medtaskatlas datasets init {folder}"
        return {}, [description_finding("", f"cannot be read: {error.strerror}", remedy)]
    except UnicodeDecodeError:
        return {}, [description_finding("", "is not UTF-8 text", "save it as UTF-8")]
    except yaml.YAMLError as error:
        said = f"is not YAML: {yaml_mistake(error)}"
        return {}, [description_finding("", said, "mend that line; text with `: ` needs quotes")]
    if not isinstance(raw, dict) or not isinstance(node, yaml.MappingNode):
        return {}, [
            description_finding("", "must be keys with values (key: value)", "see the manual")
        ]
    keys = [key.value for key, _ in node.value]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    return raw, [description_finding(str(key), "is given twice", "keep one") for key in twice]


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
        description = Description.model_validate({str(k): v for k, v in raw.items()})
    except ValidationError as error:
        mistakes = [_explain(e) for e in error.errors()]
        return None, findings + [m for m in mistakes if m.where.split(".")[0] not in reported]
    return (None if findings else description), findings


def description_finding(where: str, problem: str, remedy: str) -> Finding:
    """A mistake in dataset.yaml."""
    return Finding("error", DESCRIPTION, where, problem, remedy)


def _explain(error: Any) -> Finding:
    """A validation error as a finding: key, value, nearest valid ones."""
    key = ".".join(str(part) for part in error["loc"])
    keys = Description.model_fields
    if error["type"] == "extra_forbidden":
        near = Content.model_fields if len(error["loc"]) > 1 else keys
        return description_finding(key, "is an unknown key", nearest(str(error["loc"][-1]), near))
    if error["type"] == "missing":
        what = keys[key].description if key in keys else ""
        return description_finding(key, "is missing", f"write `{key}: ...` ({what})")
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
