"""Prepared images with every kind of target, generated."""

import cv2
import numpy as np
import pytest

from generated import smooth_image
from medtaskatlas.formats.images import write_images

CYCLE = ["train", "train", "val", "train", "test"]


def drawn(i, side, colour):
    """A picture of a disc and, on every second one, a square; the mask, and boxes."""
    rng = np.random.default_rng(i)
    image, mask = smooth_image(rng, side, side, colour), np.zeros((side, side), np.uint8)
    x, y = rng.integers(side // 4, side // 2, 2).tolist()
    cv2.circle(mask, (x, y), side // 8, 1, -1)
    if i % 2:
        mask[-side // 4 : -2, -side // 4 : -2] = 2
    image[mask > 0] = image[mask > 0] // 2 + 100
    return image, mask


@pytest.fixture
def dataset(tmp_path):
    """Write a prepared file; keywords replace columns, or facts of its head in `meta`."""

    def write(name="shapes", n=40, side=32, groups=20, colour=False, meta=None, **columns):
        pictures = [drawn(i, side, colour) for i in range(n)]
        group = [i % groups for i in range(n)]
        dose = np.stack([cv2.GaussianBlur(m * 20.0, (0, 0), 3) for _, m in pictures])
        made = {
            "image_id": [f"image{i}" for i in range(n)],
            "subject_id": [f"{name}/{g}" for g in group],
            "group_id": [f"group{g}" for g in group],
            "group_source": ["published"] * n,
            "split": [CYCLE[g % 5] for g in group],
            "slice_index": [n - i for i in range(n)],
            "axis": [["axial", "coronal"][i % 3 == 0] for i in range(n)],
            "image": np.stack([image for image, _ in pictures]),
            "mask": np.stack([mask for _, mask in pictures]),
            "label": [i % 2 + (i % 7 == 0) for i in range(n)],
            "map.dose": dose.astype(np.float32),
            "valid.dose": (dose > 0.01).astype(np.uint8),
            "value.area": [
                float((mask > 0).sum()) if i % 5 else None for i, (_, mask) in enumerate(pictures)
            ],
        }
        made |= columns
        facts = {
            "dataset": name,
            "source": "test",
            "modality": "CT",
            "body_part": "none",
            "licence": "CC0-1.0",
            "annotation": "ground_truth",
            "manifest_sha256": "0" * 64,
            "classes": ["PTV70", "cord"],
            "labels": ["none", "one", "two"],
            "label_kind": "multi_class",
            "findings": [],
            "maps": {"dose": {"unit": "Gy", "low": 0.0, "high": 40.0}},
            "values": {"area": {"unit": "pixels", "low": 10.0, "high": 300.0}},
        }
        path = tmp_path / f"{name}.arrow"
        kept = {c: v for c, v in made.items() if v is not None}
        write_images(path, kept, facts | (meta or {}))
        return path

    return write
