"""Writing a dataset.yaml for a folder of images: what can be seen is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml

from medtaskatlas.core.errors import AtlasError, DataError
from medtaskatlas.core.files import atomic_write, existing_folder
from medtaskatlas.datasets.dataset import Modality
from medtaskatlas.datasets.folder.convert import boxes_of, by_folder, write_table
from medtaskatlas.datasets.folder.description import DESCRIPTION, identifier
from medtaskatlas.datasets.folder.files import FLAT, Entry, Item, list_files, to_items, within
from medtaskatlas.datasets.folder.layouts import Layout, find_layout, looks_like_mask
from medtaskatlas.datasets.folder.match import named, some
from medtaskatlas.datasets.folder.tables import LABELS

_IMAGES = ("images", "image", "imgs", "img", "pictures", "scans", "volumes", "dicom", "data")
_MASKS = ("masks", "mask", "segmentations", "segmentation", "annotations", "ground_truth", "labels")
_DICOM_MODALITY = {"CT": "CT", "MR": "MR", "CR": "XR", "DX": "XR", "RF": "XR", "MG": "MG"}
_DICOM_MODALITY |= {"US": "US", "XA": "XA", "PT": "PET", "NM": "NM", "OP": "FUNDUS", "OPT": "OCT"}
_MOST_CLASSES = 20  # more ids than this are objects
_TEMPLATE = """\
# What this dataset is. Replace every TODO; then: medtaskatlas datasets check {folder}
name: {name}
title: TODO one line for people
modality: {modality}
body_part: {body_part}
licence: TODO SPDX id such as CC-BY-4.0, or LicenseRef-... with the terms in README.md
source: TODO where the data were first published
citation: TODO what to cite

images: {images}
{annotation}
# Images of one patient must stay together. Give one of these, or a column group in labels.csv:
{pattern}
# groups: one sentence on what is known about images that belong together
# subject_pattern: ^patient(\\d+)_  # where a patient has several groups, such as studies

# More keys, with their defaults:
# overlaps: []                      # datasets that show some of the same images
# modality_exceptions: {{}}           # file: its modality
# window: [40, 400]                 # centre and width (CT: HU); by default chosen by body part
# percentiles: [0.5, 99.5]          # that become black and white, instead of a window
# axis: thickest                    # plane of slices: axial, coronal, sagittal
# slices: 12                        # most slices of a volume
# index: 0                          # which volume of a 4-D file
# content: {{min_std: 4, max_extreme: 0.98}}   # what is left out as empty
# exclude: {{}}                       # image: why it is left out on purpose
"""


def init_folder(folder: Path) -> str:
    """Look at a folder of images, write a dataset.yaml to fill in, and say what was guessed."""
    folder = _only_folder(existing_folder(folder))
    path = folder / DESCRIPTION
    if path.exists():
        remedy = "edit it, or move it away; it is never written over"
        raise DataError(f"{path} is there already", remedy)
    entries = list_files(folder)
    said: list[str] = []
    images, items, lines = _picture_lines(folder, entries, said)
    told = False
    if not images.lower().endswith(".npz"):
        told = _write_tables(folder, images, entries, items, said)
    lines += _table_lines(folder, images, said)
    modality, body_part = _dicom_facts(folder / images, items, said)
    values: dict[str, Any] = {
        "folder": folder,
        "name": _text(identifier(folder)),
        "modality": modality or f"TODO one of {', '.join(get_args(Modality))}",
        "body_part": _text(body_part or "TODO what is shown, e.g. chest"),
        "images": _text(images),
        "annotation": "\n".join(lines),
        "pattern": _pattern(items, said, folders=not told),
    }
    with atomic_write(path) as part:
        part.write_text(_TEMPLATE.format(**values), encoding="utf-8")
    found = "\n".join(f"  {line}" for line in said)
    return (
        f"wrote {path}; guessed from what lies there:\n{found}\n"
        f"Replace every TODO, then: medtaskatlas datasets check {folder}"
    )


def _picture_lines(
    folder: Path, entries: list[Entry], said: list[str]
) -> tuple[str, list[Item], list[str]]:
    """Where the images are, these, and keys about them and what lies beside them."""
    instances = _folder_of(entries, ("instances",))
    maps = _folder_of(entries, ("maps",))
    others = [place for place in (instances, maps) if place]
    every = to_items(folder, within(entries, ".", others))[0]
    layout = find_layout(item.stem for item in every)
    # A folder of labels may hold texts, too.
    pictures = [Entry(item.name, 0, 0) for item in every]
    masks = layout.masks if layout else _folder_of(pictures, _MASKS)
    if layout:
        images, mask_items = layout.images, _items(folder, entries, layout, others, "masks")
        items = _items(folder, entries, layout, others, "images")
    else:
        images, items = _images(folder, entries, [*others, *([masks] if masks else [])])
        mask_items = to_items(folder / masks, within(entries, masks))[0] if masks else []
    said.append(f"images: {images} ({len(items)} images or volumes)")
    lines: list[str] = []
    if layout and layout.image_pattern:
        lines.append(f"image_pattern: {_text(layout.image_pattern)}")
        said.append(f"image_pattern: {layout.image_pattern} (other files there are no images)")
    if masks:
        lines += _mask_lines(folder / masks, mask_items, masks, said, with_objects=bool(instances))
    if layout and layout.mask_pattern:
        lines.append(f"mask_pattern: {_text(layout.mask_pattern)}")
        said.append(f"mask_pattern: {layout.mask_pattern}")
    said += _not_taken(every, items, images, masks)
    if layout and (more := len(every) - len(items) - len(mask_items)):
        said.append(f"{more} other files are not taken: neither images with masks nor masks")
    if instances:
        lines.append(f"instances: {_text(instances)}")
        said.append(f"instances: {instances}")
    if maps:
        about = (f"folder: {_text(maps)}", "scale: 1   # quantity = stored value x scale")
        lines += ["maps:", "  quantity:   # its name, such as dose"]
        lines += [f"    {line}" for line in (*about, "unit: TODO unit, e.g. Gy")]
        said.append(f"maps: {maps}; give the quantity its name, unit and scale")
    return images, items, lines


def _text(value: str) -> str:
    """A text as YAML has it: in quotes where it would be a number, a truth value or a key."""
    return yaml.safe_dump(value, allow_unicode=True, width=10**6).split("\n")[0]


def _folder_of(entries: list[Entry], names: Iterable[str]) -> str | None:
    """The first of some folders that is there, however it is written."""
    tops = {e.name.split("/")[0] for e in entries if "/" in e.name}
    by_lower = {top.lower(): top for top in sorted(tops, reverse=True)}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _images(folder: Path, entries: list[Entry], but: list[str]) -> tuple[str, list[Item]]:
    """Where the images are."""
    packed = [e.name for e in entries if "/" not in e.name and e.name.lower().endswith(".npz")]
    if len(packed) == 1:
        return packed[0], []
    place = _folder_of(entries, _IMAGES)
    if place is None:
        place = "."
        if not to_items(folder, [e.name for e in entries if "/" not in e.name])[0]:
            tops = sorted({e.name.split("/")[0] for e in entries if "/" in e.name} - set(but))
            place = tops[0] if len(tops) == 1 else "."
    items, _ = to_items(folder / place, within(entries, place, but if place == "." else ()))
    if not items:
        raise DataError(
            f"{folder} holds no image: looked for PNG, JPEG, BMP, TIFF, NIfTI, NRRD, DICOM, npz",
            "put the images into a folder images/ in it",
        )
    return place, items


def _only_folder(folder: Path) -> Path:
    """The folder itself, or the one that holds all of it, as archives have it."""
    entries = list_files(folder)
    while len(inner := {entry.name.split("/")[0] for entry in entries}) == 1:
        inside = [entry.name.split("/", 1)[1] for entry in entries if "/" in entry.name]
        if min(inner).lower() in {*_IMAGES, *_MASKS} or not any("/" in name for name in inside):
            break  # a folder of images
        folder /= min(inner)
        entries = list_files(folder)
    return folder


def _items(
    folder: Path, entries: list[Entry], layout: Layout, others: list[str], kind: str
) -> list[Item]:
    """Images or masks of a layout."""
    place = layout.images if kind == "images" else layout.masks
    out = [*others, *({layout.masks} - {"."})] if place == "." else ()
    items, _ = to_items(folder / place, within(entries, place, out))
    pattern = layout.image_pattern if kind == "images" else layout.mask_pattern
    if kind == "images" and layout.mask_pattern and layout.images == layout.masks:
        taken = {item.name for item in named(items, layout.mask_pattern)}
        items = [item for item in items if item.name not in taken]
    return named(items, pattern) if pattern else items


def _not_taken(every: list[Item], items: list[Item], images: str, masks: str | None) -> list[str]:
    """What looks like label maps but is taken for images, or for nothing."""
    start = "" if images == "." else f"{images}/"
    taken = {start + item.name for item in items}
    like = [item.name for item in every if looks_like_mask(item.stem)]
    if among := [name for name in like if name in taken]:
        remedy = "name them like their images in a folder masks/, or take them away"
        return [f"{len(among)} of the images look like label maps: {some(among)}; {remedy}"]
    if like and not masks:
        return [f"{len(like)} files look like label maps and are not taken: {some(like)}"]
    return []


def _mask_lines(
    folder: Path, items: list[Item], masks: str, said: list[str], *, with_objects: bool
) -> list[str]:
    """Keys about label maps; their ids are looked up in the files, all of them as a run does."""
    ids: set[int] = set()
    for item in items:
        try:
            ids |= _ids(folder / item.files[0], item)
        except Exception as error:  # of a damaged file; `check` says which one
            said.append(f"could not look into a mask: {_problem(error)}")
        if len(ids - {0}) > _MOST_CLASSES and not with_objects:
            why = f"more than {_MOST_CLASSES} numbers are objects, not classes"
            said.append(f"instances: {masks} ({why})")
            return [f"instances: {_text(masks)}"]
    ids -= {0}
    said.append(f"masks: {masks} ({len(items)} files; ids {sorted(ids) or 'not found'})")
    names = [f"  {i}: TODO name of class {i}" for i in sorted(ids) or [1]]
    return [f"masks: {_text(masks)}", "classes:", *names]


def _problem(error: Exception) -> str:
    """What is wrong with a file."""
    return error.problem if isinstance(error, AtlasError) else ascii(str(error))


def _ids(path: Path, item: Item) -> set[int]:
    """Numbers that occur in a label map."""
    import numpy as np

    from medtaskatlas.datasets.io.flat import read_labels
    from medtaskatlas.datasets.io.nifti import load_volume
    from medtaskatlas.datasets.io.nrrd import read_nrrd

    if item.kind == "flat":
        planes = read_labels(path)
    elif item.kind == "nifti":
        planes = [load_volume(path)[0]]
    elif item.kind == "nrrd":
        planes = [read_nrrd(path)[0]]
    else:
        return set()
    return {int(v) for plane in planes for v in np.unique(plane)}


def _write_tables(
    folder: Path, images: str, entries: list[Entry], items: list[Item], said: list[str]
) -> bool:
    """Write labels.csv, splits.csv and boxes.csv; whether folders are labels or splits."""
    if any((folder / f"{key}.csv").exists() for key in ("labels", "splits", "boxes")):
        return False
    labels, splits = by_folder(items)
    if labels:
        head = ["image", "label"] + ["split"] * bool(splits)
        rows = [(i.name, labels[i.name], *([splits[i.name]] if splits else [])) for i in items]
        write_table(folder / "labels.csv", head, rows)
        kinds = ", ".join(sorted(set(labels.values()))[:6])
        said.append(f"wrote labels.csv: folders as labels ({kinds}); delete it if they are none")
    elif splits:
        rows = [(item.name, splits[item.name]) for item in items]
        write_table(folder / "splits.csv", ["image", "split"], rows)
        kinds = ", ".join(sorted(set(splits.values())))
        said.append(f"wrote splits.csv: folders as splits ({kinds}); delete it if they are none")
    boxes, sources = boxes_of(folder, images, entries, items)
    said += sources
    if boxes:
        write_table(folder / "boxes.csv", ["image", "x0", "y0", "x1", "y1", "label"], boxes)
        shown = len({box[0] for box in boxes})
        said.append(f"wrote boxes.csv: {len(boxes)} boxes of {shown} images")
    return bool(labels or splits)


def _table_lines(folder: Path, images: str, said: list[str]) -> list[str]:
    """Keys about tables."""
    entries = list_files(folder)
    names = {entry.name for entry in entries}
    lines = []
    if images.lower().endswith(".npz"):
        said.append("labels: TODO, if the file holds them")
        return [f"labels: {_text(images)}", "label_names:", "  0: TODO name of label 0"]
    for key in ("labels", "boxes", "splits"):
        if f"{key}.csv" in names:
            lines.append(f"{key}: {key}.csv")
            said.append(f"{key}: {key}.csv")
            lines += _label_hints(folder) if key == "labels" else []
    if "labels.csv" not in names:
        start = "" if images == "." else f"{images}/"
        inner = [n[len(start) :] for n in names if n.startswith(start)]
        pictures = [n for n in inner if n.lower().endswith(FLAT)]
        tops = {n.split("/")[0] for n in pictures if n.count("/") == 1}
        if len(tops) > 1 and images != ".":
            said.append(
                f"sub-folders of {images} ({', '.join(sorted(tops)[:6])}): if they are labels, "
                "write labels.csv (image,label) with e.g. "
                f"{sorted(n for n in inner if '/' in n)[0]},{min(tops)}"
            )
    return lines


def _label_hints(folder: Path) -> list[str]:
    """Keys about labels.csv as suggestions that are not in force."""
    hints = ["# label_kind: ordinal   # label_names are in order; multi_label: labels as a|b"]
    header = (folder / "labels.csv").read_bytes().split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    known = {*LABELS[0], *LABELS[1]}
    if more := [name for name in map(str.strip, header.split(",")) if name and name not in known]:
        one = f"{{{_text(more[0])}: {{file: labels.csv, unit: UNIT}}}}"
        hints.append(f"# values: {one}   # a number of each image, of: {', '.join(more)}")
    return hints


def _dicom_facts(place: Path, items: list[Item], said: list[str]) -> tuple[str, str]:
    """Modality and body part by the first DICOM file."""
    first = next((item for item in items if item.kind in ("dicom", "series")), None)
    if first is None:
        return "", ""
    from medtaskatlas.datasets.io.dicom import read_header

    try:
        header = read_header(place / first.files[0])
    except Exception as error:  # as above
        said.append(f"could not look into {first.files[0]}: {_problem(error)}")
        return "", ""
    modality = _DICOM_MODALITY.get(str(header.get("Modality", "")), "")
    body_part = re.sub("[^A-Za-z ]", " ", str(header.get("BodyPartExamined", "") or "")).strip()
    said.append(
        f"modality and body part from {first.files[0]}: {modality or '?'}, {body_part or '?'}"
    )
    return modality, body_part.lower()


def _pattern(items: list[Item], said: list[str], *, folders: bool) -> str:
    """A pattern that would gather images to groups, as a suggestion that is not in force.

    Of sub-folders only where they are nothing else.
    """
    plain = "# group_pattern: ^patient(\\d+)_   # on the file name; its first group is the patient"
    tops = [r"^([^/]+)/"] if folders else []
    for pattern in (*tops, r"^([A-Za-z]+[-_]?\d+)[-_]", r"^(\d+)[-_]"):
        found = [re.search(pattern, item.name) for item in items]
        groups = {match[1] for match in found if match}
        if items and all(found) and 1 < len(groups) < len(items):
            said.append(
                f"{pattern} would make {len(groups)} groups of {len(items)} images: remove the # "
                "before group_pattern if these are patients"
            )
            return f"# group_pattern: {pattern}"
    return plain
