"""What is kept, joined and left out while a dataset is prepared."""

from __future__ import annotations

import numpy as np
import pytest

from generated import SPLITS as SHARES
from generated import smooth_image
from medtaskatlas.datasets.dataset import Quantity
from medtaskatlas.datasets.gather import BEYOND, IDENTICAL, ImageCollector
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.datasets.resize import resize_map
from medtaskatlas.datasets.sources.packaged import PackagedDataset

SIZE = 32
TOY = PackagedDataset.model_construct(
    name="toy", subjects=None, maps={"dose": Quantity(unit="Gy")}, values={}
)


def picture(seed):
    return smooth_image(np.random.default_rng(seed), 48, 48, colour=False)[..., 0]


def frame(seed, group=None, pixels=None, **keys):
    pixels = picture(seed) if pixels is None else pixels
    return Frame(pixels, f"i{seed}", group or f"g{seed}", "unknown", **keys)


def gathered(tmp_path, frames, limit=None, **options):
    found = ImageCollector(tmp_path, SIZE, TOY, **options)
    for one in frames:
        found.add(shape(one, SIZE))
    found.split(SHARES, 0, limit)
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


def test_copies_are_kept_where_that_is_wanted_in_one_group_a_split(tmp_path):
    own = {"train": (0, 1), "test": (1, 0, 0), "val": (0,)}  # labels of one picture
    frames = [
        # Flat, so that nothing but equality tells that they are copies.
        frame(i, pixels=np.full((SIZE, SIZE), 90, np.uint8), split=split, label=label)
        for i, (split, label) in enumerate(
            (s, said) for s, labels in own.items() for said in labels
        )
    ]
    dropped, columns = gathered(tmp_path, frames)
    assert columns["image_id"] == ["i0", "i1"]
    assert dropped.excluded == {IDENTICAL: 4}
    kept, columns = gathered(tmp_path, frames, keep_duplicates=True)
    assert kept.excluded == {}
    assert columns["split"] == ["train"] * 2 + ["test"] * 3 + ["val"]
    assert columns["label"] == [0, 1, 1, 0, 0, 0]
    assert columns["group_id"] == ["g0"] * 2 + ["g2"] * 3 + ["g5"]
    assert len(columns["image"]) == 6


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


def test_all_groups_of_a_subject_are_in_one_split(tmp_path):
    """Two studies of a patient are two groups, but one person."""
    frames = [frame(i, group=f"study{i // 2}", subject=f"p{i // 4}") for i in range(24)]
    _, columns = gathered(tmp_path, frames)
    split_of = set(zip(columns["subject_id"], columns["split"], strict=True))
    assert len(split_of) == len(set(columns["subject_id"])) == 6
    assert {split for _, split in split_of} == {"train", "val", "test"}
    assert len(set(columns["group_id"])) == 12


def test_regions_of_one_picture_are_one_subject_and_several_splits(tmp_path):
    frames = [frame(i, subject="photograph") for i in range(9)]
    _, columns = gathered(tmp_path, frames)
    assert set(columns["subject_id"]) == {"toy/photograph"}
    assert set(columns["split"]) == {"train", "val", "test"}


def test_a_map_keeps_its_mean_where_it_counts(tmp_path):
    dose = np.arange(48 * 48, dtype=np.float32).reshape(48, 48)
    valid = np.zeros((48, 48), bool)
    valid[:, 24:] = True
    found, columns = gathered(tmp_path, [frame(0, maps={"dose": (dose, valid)}), frame(1)])
    values = np.concatenate(list(columns["map.dose"].chunks()))
    counts = np.concatenate(list(columns["valid.dose"].chunks()))
    np.testing.assert_array_equal(counts[0], np.repeat([[0] * 16 + [1] * 16], 32, axis=0))
    assert values[0][:, 16:].mean() == pytest.approx(dose[:, 24:].mean())
    assert not values[0][:, :16].any()
    assert not counts[1].any()
    assert found.quantities("map.")["dose"]["unit"] == "Gy"
    assert found.quantities("map.")["dose"]["high"] == pytest.approx(values[0].max())


@pytest.mark.parametrize(("size", "off"), [(12, 1e-4), (31, 0.5), (48, 0), (80, 1e-4)])
def test_maps_are_resized_without_bias(size, off):
    """A plane stays one inside, within half an old pixel: areas when shrinking, else lines."""
    y, x = np.mgrid[:48, :48] + 0.5
    plane, all_valid = (2 * x - y).astype(np.float32), np.ones((48, 48), bool)
    values, valid = resize_map(plane, all_valid, size)
    y, x = (np.mgrid[:size, :size] + 0.5) * 48 / size
    inside = slice(2, -2)
    np.testing.assert_allclose(
        values[inside, inside], (2 * x - y)[inside, inside], rtol=0, atol=off
    )
    assert valid.all()
