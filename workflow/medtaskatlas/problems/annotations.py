"""What the images of a dataset come with, by its entry or by its prepared file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.formats.arrow import ArrowFile


@dataclass(frozen=True)
class Annotations:
    """What targets can be made of."""

    dataset: str
    classes: tuple[str, ...] = ()  # foreground classes of the masks, ids 1, 2, ...
    label_kind: str = "none"
    labels: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()  # of which an image may have several
    planes: tuple[str, ...] = ()  # that slices are cut in, where there are several
    maps: Mapping[str, str] = field(default_factory=dict)  # name, without ``map.``, to unit
    values: Mapping[str, str] = field(default_factory=dict)
    numbered: bool = False  # whether objects have numbers or boxes
    coloured: bool = False
    volumes: bool = False


def annotations_of(dataset: Dataset, *, volumes: bool = False) -> Annotations:
    """What a dataset comes with, by its entry: known before there are images."""
    several = dataset.labels_are == "multi_label"
    return Annotations(
        dataset=dataset.name,
        classes=tuple(dataset.classes[number] for number in sorted(dataset.classes)),
        label_kind=dataset.labels_are,
        labels=tuple(dataset.labels),
        findings=tuple(dataset.labels[1:]) if several else (),
        planes=dataset.planes,
        maps={name: q.unit for name, q in dataset.maps.items()},
        values={name: q.unit for name, q in dataset.values.items()},
        numbered=bool({"instances", "boxes"} & set(dataset.provides)),
        coloured="colour" in dataset.provides,
        volumes=volumes,
    )


def annotations_in(images: ArrowFile) -> Annotations:
    """What a prepared file of images or volumes holds."""
    meta = images.meta
    # Names are written for all that an entry declares; what no image has, has no column.
    planes = sorted(images.column("axis").dictionary.to_pylist()) if "axis" in images else []
    return Annotations(
        dataset=str(meta["dataset"]),
        classes=tuple(meta["classes"]) if "mask" in images else (),
        label_kind=meta["label_kind"] if "label" in images or "labels" in images else "none",
        labels=tuple(meta.get("labels", [])),
        findings=tuple(meta.get("findings", [])) if "labels" in images else (),
        planes=tuple(planes) if len(planes) > 1 else (),
        maps=_units(images, "map", meta.get("maps", {})),
        values=_units(images, "value", meta["values"]),
        numbered="instances" in images or "boxes" in images,
        coloured=True,  # whether an image is, its pixels say
        volumes="volume" in images,
    )


def _units(
    images: ArrowFile, prefix: str, described: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Units of quantities that have a column."""
    return {
        name: str(facts.get("unit") or "")
        for name, facts in described.items()
        if f"{prefix}.{name}" in images
    }
