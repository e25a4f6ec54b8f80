"""Layouts of published data: where masks lie, and how they are called like their images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_WORDS = "masks?|seg|segs|segmentations?|labels?|annotations?|ground[-_ ]?truths?|gts?"
# A folder of label maps: masks, labelsTr, train_masks, ISIC_Training_GroundTruth.
_MASK_FOLDER = re.compile(rf"(?:^|[-_ ])(?:{_WORDS})(?:tr|ts)?(?:$|[-_ ])", re.IGNORECASE)
# Behind the name of an image: case_mask, case-seg, case_mask_1.
_MASK_END = re.compile(rf"^(.+?)([-_. ](?:{_WORDS}))(?:_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Keys of dataset.yaml about images and masks, and how many masks have an image."""

    images: str
    masks: str
    image_pattern: str | None = None
    mask_pattern: str | None = None
    paired: int = 0


def looks_like_mask(stem: str) -> bool:
    """Whether a path without suffix is called as label maps are."""
    *folders, name = stem.split("/")
    return any(map(_MASK_FOLDER.search, folders)) or bool(_MASK_END.match(name))


def find_layout(stems: Iterable[str]) -> Layout | None:
    """Layout of the images and masks with these paths without suffix; None where no pair is seen.

    Folders side by side (nnU-Net, Medical Segmentation Decathlon, ISIC), then such folders in those
    of splits (Kaggle), then masks next to their images (BUSI, BraTS).
    """
    stems = sorted(stems)
    for find in (_side_by_side, _in_sub_folders, _next_to_each_other):
        if found := max(find(stems), key=lambda one: one.paired, default=None):
            return found
    return None


def _side_by_side(stems: list[str]) -> list[Layout]:
    """A top folder of masks and one of images."""
    tops = sorted({stem.split("/")[0] for stem in stems if "/" in stem})
    found = []
    for masks in filter(_MASK_FOLDER.search, tops):
        inside = _below(masks, stems)
        others = [top for top in tops if not _MASK_FOLDER.search(top)]
        for images in [*others, "."]:
            there = _below(images, [s for s in stems if not s.startswith(f"{masks}/")])
            if link := _link(there, inside):
                found.append(Layout(images, masks, _ends_in(link[0]), _ends_in(link[1]), link[2]))
    return found


def _in_sub_folders(stems: list[str]) -> list[Layout]:
    """Folders of masks and images in other folders: train/images, train/masks, test/images."""
    of: dict[str, set[str]] = {}
    for stem in stems:
        *folders, name = stem.split("/")
        for at, folder in enumerate(folders):
            of.setdefault(folder, set()).add("/".join([*folders[:at], *folders[at + 1 :], name]))
    found = []
    for masks in filter(_MASK_FOLDER.search, of):
        for images, there in of.items():
            if not _MASK_FOLDER.search(images) and (link := _link(there, of[masks])):
                found.append(
                    Layout(".", ".", _inside(images, link[0]), _inside(masks, link[1]), link[2])
                )
    return found


def _next_to_each_other(stems: list[str]) -> list[Layout]:
    """Masks that are called like their images with a word behind it."""
    ends = Counter(match[2] for stem in stems if (match := _MASK_END.match(stem)))
    images = {stem for stem in stems if not _MASK_END.match(stem)}
    found = []
    for end in ends:
        more = re.compile(rf"^(.+){re.escape(end)}(?:_\d+)?$")
        bases = {match[1] for stem in stems if (match := more.match(stem))}
        if link := _link(images, bases):
            numbered = any(re.search(rf"{re.escape(end)}_\d+$", stem) for stem in stems)
            mask = rf"^(.+){re.escape(end)}" + r"(?:_\d+)?" * numbered + "$"
            found.append(Layout(".", ".", _ends_in(link[0]), mask, link[2]))
    return found


def _link(images: Iterable[str], masks: Iterable[str]) -> tuple[str, str, int] | None:
    """What stands behind the common names of images and of masks, and how many are common."""
    images, masks = set(images), sorted(masks)
    ends = {("", "")}
    for mask in masks[:5]:
        name = mask.rsplit("/", 1)[-1]
        behind = (image[len(mask) :] for image in images if image.startswith(mask))
        ends |= {(end, "") for end in behind if "/" not in end}
        ends |= {("", name[at:]) for at in range(1, len(name)) if mask[: at - len(name)] in images}
    counts = {
        (of_image, of_mask): sum(
            f"{mask.removesuffix(of_mask)}{of_image}" in images
            for mask in masks
            if mask.endswith(of_mask)
        )
        for of_image, of_mask in ends
    }
    best = min(counts, key=lambda two: (-counts[two], *two))
    return (*best, counts[best]) if 2 * counts[best] > len(masks) else None


def _ends_in(end: str) -> str | None:
    """Pattern of names that end in some text."""
    return rf"^(.+){re.escape(end)}$" if end else None


def _inside(folder: str, end: str) -> str:
    """Pattern of names in a folder that end in some text; what it lies in is part of the name."""
    return rf"^(?:(.+)/)?{re.escape(folder)}/(.+){re.escape(end)}$"


def _below(folder: str, stems: list[str]) -> list[str]:
    """Paths in a folder, relative to it."""
    start = "" if folder == "." else f"{folder}/"
    return [stem[len(start) :] for stem in stems if stem.startswith(start)]
