"""Copies are found however they were mirrored or saved; different pictures are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from generated import smooth_image
from medtaskatlas.datasets.duplicates import connected, near_duplicates, thumbnail


@pytest.fixture(scope="module")
def pictures():
    return [smooth_image(np.random.default_rng(i), 128, 128, colour=False) for i in range(40)]


def jpeg(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)


COPIES = {
    "mirrored": lambda x: x[:, ::-1],
    "turned": np.rot90,
    "mirrored and turned": lambda x: np.rot90(x[::-1]),
    "jpeg": jpeg,
    "brighter": lambda x: np.clip(x.astype(int) + 20, 0, 255).astype(np.uint8),
    "gamma": lambda x: (255 * (x / 255) ** 0.8).astype(np.uint8),
    "noisy": lambda x: np.clip(x + np.random.default_rng(0).normal(0, 8, x.shape), 0, 255).astype(
        np.uint8
    ),
    "half the size and back": lambda x: cv2.resize(cv2.resize(x, (64, 64)), (128, 128)),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_is_found_and_nothing_else(pictures, copy):
    made = [*pictures, np.ascontiguousarray(copy(pictures[7]))]
    thumbnails = np.stack([thumbnail(image) for image in made])
    np.testing.assert_array_equal(near_duplicates(thumbnails), [[7, 40]])


def test_another_picture_of_the_same_kind_is_no_copy(pictures):
    thumbnails = np.stack([thumbnail(image) for image in pictures])
    assert len(near_duplicates(thumbnails)) == 0
    assert len(near_duplicates(thumbnails[:1])) == 0


def test_flat_pictures_are_not_compared():
    assert len(near_duplicates(np.full((5, 32, 32), 9, np.uint8))) == 0


def test_connected():
    found = connected(np.array([[0, 3], [3, 5], [1, 2]]), 6)
    assert found.tolist() == [0, 1, 1, 0, 4, 0]
    assert connected(np.empty((0, 2), int), 3).tolist() == [0, 1, 2]
