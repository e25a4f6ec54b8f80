"""What is kept, joined and left out while a dataset is prepared."""

from __future__ import annotations

import numpy as np
import pytest

from generated import SPLITS as SHARES
from generated import smooth_image
from medtaskatlas.datasets.gather import BEYOND, IDENTICAL, ImageCollector
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.datasets.prepare import shape

SIZE = 32


def picture(seed):
    return smooth_image(np.random.default_rng(seed), 48, 48, colour=False)[..., 0]


def frame(seed, group=None, pixels=None, **keys):
    pixels = picture(seed) if pixels is None else pixels
    return Frame(pixels, f"i{seed}", group or f"g{seed}", "unknown", **keys)


def gathered(tmp_path, frames, limit=None):
    found = ImageCollector(tmp_path, SIZE)
    for one in frames:
        found.add(shape(one, SIZE))
    found.split(SHARES, 0, "toy", limit)
    return found, found.columns()


def test_near_duplicates_share_a_group(tmp_path):
    frames = [frame(i) for i in range(6)]
    frames.append(frame(6, pixels=np.ascontiguousarray(picture(2)[:, ::-1])))
    found, columns = gathered(tmp_path, frames)
    assert columns["group_id"][6] == columns["group_id"][2] == "g2"
    assert columns["split"][6] == columns["split"][2]
    assert found.quality()["joined"] == 1


def test_joining_carries_the_whole_group_along(tmp_path):
    frames = [frame(i, group=f"g{i // 2}") for i in range(6)]
    frames.append(frame(6, group="g9", pixels=np.rot90(picture(0)).copy()))
    frames.append(frame(7, group="g9"))
    _, columns = gathered(tmp_path, frames)
    assert [columns["group_id"][i] for i in (0, 1, 6, 7)] == ["g0"] * 4


def test_published_splits_are_not_torn_by_copies(tmp_path):
    frames = [frame(i, split="train") for i in range(3)]
    frames.append(frame(3, pixels=np.ascontiguousarray(picture(1)[::-1]), split="test"))
    found, columns = gathered(tmp_path, frames)
    assert list(columns["split"]) == ["train"] * 3 + ["test"]
    assert columns["group_id"][3] == "g3"
    assert found.quality()["torn"] == 1


def test_one_picture_annotated_twice_is_kept_in_one_group(tmp_path):
    masks = [np.zeros((48, 48), np.uint8) for _ in range(3)]
    masks[1][10:20, 10:20] = 1
    frames = [frame(i, pixels=picture(0), mask=masks[i]) for i in range(3)]
    found, columns = gathered(tmp_path, [*frames, *(frame(i, mask=masks[0]) for i in (5, 6, 7))])
    assert columns["image_id"] == ["i0", "i1", "i5", "i6", "i7"]
    assert columns["group_id"][:2] == ["g0", "g0"]
    assert found.excluded == {IDENTICAL: 1}
    assert found.quality()["empty_masks"] == 4
    np.testing.assert_array_equal(
        [plane.any() for plane in np.concatenate(list(columns["mask"].chunks()))],
        [False, True, False, False, False],
    )


@pytest.mark.parametrize("limit", [3, 7, 20])
def test_limit_takes_whole_groups(tmp_path, limit):
    found, columns = gathered(tmp_path, [frame(i, group=f"g{i // 2}") for i in range(16)], limit)
    kept = columns["group_id"]
    assert len(kept) <= limit
    assert all(kept.count(group) == 2 for group in kept)
    assert len(kept) >= limit - 1 or limit == 20
    assert len(columns["image"]) == len(kept) == len(columns["split"])
    assert found.excluded.get(BEYOND, 0) == 16 - len(kept)


def test_boxes_move_along(tmp_path):
    """A wide picture of 40 x 80 is cut to its middle 40 columns and halved."""
    wide = np.tile(picture(0)[:40, :40], (1, 2))
    boxes = np.array([[30, 10, 50, 30], [10, 0, 25, 40], [0, 0, 15, 9]], np.float32)
    made = shape(Frame(wide, "i", "g", "unknown", boxes=boxes), 20)
    # The first lies inside, the second is cut at the border, the third lies outside.
    np.testing.assert_allclose(made.boxes, [[5, 5, 15, 15], [0, 0, 2.5, 20]])


def test_facts_stay_with_their_pictures(tmp_path):
    frames = [frame(i, label=i % 3 if i else None, spacing_mm=0.5) for i in range(9)]
    _, columns = gathered(tmp_path, frames)
    assert columns["label"] == [None, 1, 2, 0, 1, 2, 0, 1, 2]
    assert set(columns["spacing_mm"]) == {0.75}
    assert not {"mask", "instances", "boxes", "axis"} & set(columns)
    for i, plane in enumerate(np.concatenate(list(columns["image"].chunks()))):
        np.testing.assert_array_equal(plane, shape(frames[i], SIZE).image)
