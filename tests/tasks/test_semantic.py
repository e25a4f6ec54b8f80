"""Semantic tasks say what the annotation says, checked against scipy and skimage."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from generated import make_sample, smooth_image
from medtaskatlas.core.errors import TaskError
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.objects import centres, corners
from medtaskatlas.tasks.palettes import (
    FIRST_COLOURS,
    MOST_LABELS,
    MOST_OBJECTS,
    class_colours,
    greys,
    object_colours,
)
from medtaskatlas.tasks.task import REGISTRY
from medtaskatlas.tasks.thinning import thinned

SEMANTIC = [name for name, task in load_bank().items() if task.family == "semantic"]
every_task = pytest.mark.parametrize("name", SEMANTIC)


def picture(mask: np.ndarray, **annotation) -> Sample:
    image = smooth_image(np.random.default_rng(0), *mask.shape, colour=False)
    return Sample(image, mask, **annotation)


def out(name: str, sample: Sample) -> np.ndarray:
    return REGISTRY[name].make(sample, {}, twice=True)[1]


@st.composite
def label_maps(draw, kinds=(np.uint8, np.uint16, np.int32)) -> np.ndarray:
    """Maps of a few numbers, of odd sizes and types, some of them speckled, some full."""
    height, width = draw(st.integers(3, 40)), draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    field = ndimage.gaussian_filter(rng.standard_normal((height, width)), draw(st.floats(0.1, 4)))
    numbers = np.digitize(
        field, np.quantile(field, sorted(rng.uniform(0, 1, draw(st.integers(1, 4)))))
    )
    kind = draw(st.sampled_from(kinds))
    factor = 1 if kind == np.uint8 else draw(st.sampled_from([1, 7, 255, 16000]))
    numbers = (numbers * factor).astype(kind)
    if not numbers.any():
        numbers[draw(st.integers(0, height - 1)), 0] = 1
    return numbers


def every_mask(test):
    return settings(max_examples=30, deadline=None)(given(mask=label_maps([np.uint8]))(test))


@every_mask
def test_masks_stay_label_valued(mask: np.ndarray) -> None:
    sample, inside = picture(mask), mask > 0
    np.testing.assert_array_equal(out("segmentation", sample)[..., 0], 255 * inside)
    np.testing.assert_array_equal(out("multiclass_segmentation", sample), FIRST_COLOURS[mask])
    isolated = out("object_isolation", sample)
    np.testing.assert_array_equal(isolated, sample.image * inside[..., None])
    for name in ("boundary", "skeleton", "detection"):
        assert set(np.unique(out(name, sample))) <= {0, 255}, name


def test_every_class_has_its_own_colour() -> None:
    """Of 255 classes too, the first eight the same as ever, and no two hard to tell apart."""
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = out("multiclass_segmentation", picture(mask)).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) == 256
    np.testing.assert_array_equal(colours[:9], FIRST_COLOURS)
    apart = np.linalg.norm(colours[:, None].astype(float) - colours[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart[:33, :33].min() > 60
    assert apart.min() > 30
    np.testing.assert_array_equal(class_colours(40), class_colours(MOST_LABELS)[:41])
    grey = REGISTRY["multiclass_segmentation"].make(
        Sample(np.zeros((16, 16, 1), np.uint8), mask), {}
    )[1]
    assert len(np.unique(grey)) == 256


def test_palettes() -> None:
    colours = object_colours()
    assert len(np.unique(colours, axis=0)) == len(colours) == MOST_OBJECTS + 1
    assert colours[1:].max(axis=1).min() > 100, "too dark beside the background"
    for i in (0, 3, 100, 254):
        hue = (i * 0.618033988749895) % 1
        expected = np.rint(255 * np.array(colorsys.hsv_to_rgb(hue, 0.75, 0.95)))
        np.testing.assert_array_equal(colours[i + 1], expected)
    assert greys()[0] == 0
    assert len(np.unique(greys())) == 256


@given(instances=label_maps())
@settings(max_examples=40, deadline=None)
def test_objects_agree_with_scipy(instances: np.ndarray) -> None:
    sample = picture((instances > 0).astype(np.uint8), instances=instances)
    numbers = np.unique(instances)[1:] if (instances == 0).any() else np.unique(instances)
    np.testing.assert_allclose(
        centres(sample)[:, ::-1], ndimage.center_of_mass(instances > 0, instances, numbers)
    )
    boxes = corners(sample)
    assert len(boxes) == len(numbers)
    for (x0, y0, x1, y1), number in zip(boxes, numbers, strict=True):
        rows, columns = np.nonzero(instances == number)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max(), rows.max())
    coloured = out("instance_segmentation", sample)
    for number in numbers:
        assert len(np.unique(coloured[instances == number], axis=0)) == 1
    assert not coloured[instances == 0].any()
    if max(numbers) <= MOST_OBJECTS:
        assert len(np.unique(coloured.reshape(-1, 3), axis=0)) == len(np.unique(instances))


def test_object_numbers_beyond_8_bits() -> None:
    instances = np.zeros((32, 32), np.uint16)
    instances[2:6, 2:6], instances[10:14, 2:6], instances[20:30, 20:30] = 1, 256, 65535
    sample = picture((instances > 0).astype(np.uint8), instances=instances)
    assert len(np.unique(out("instance_segmentation", sample).reshape(-1, 3), axis=0)) == 4
    np.testing.assert_array_equal(corners(sample), [[2, 2, 5, 5], [2, 10, 5, 13], [20, 20, 29, 29]])


@every_mask
def test_without_objects_the_parts_of_each_class_are_objects(mask: np.ndarray) -> None:
    expected = []
    for number in np.unique(mask[mask > 0]):
        parts, _ = ndimage.label(mask == number, structure=np.ones((3, 3)))
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            centre = ndimage.center_of_mass(parts == part)
            box = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
            expected.append((box, (round(centre[1], 6), round(centre[0], 6))))
    sample = picture(mask)
    boxes = map(tuple, corners(sample).tolist())
    found = zip(boxes, map(tuple, centres(sample).round(6).tolist()), strict=True)
    assert sorted(found) == sorted(expected)


def test_objects_come_from_numbers_then_boxes_then_the_mask() -> None:
    full = make_sample()
    usable = REGISTRY["detection"].usable
    np.testing.assert_array_equal(
        corners(Sample(full.image, full.mask, None, np.array([[1.5, 2, 8, 9.2]], np.float32))),
        [[1, 2, 7, 9]],
    )
    assert len(corners(full)) == 3
    assert len(corners(Sample(full.image, full.mask))) == 3
    nothing = np.zeros((64, 64), np.uint8)
    assert not usable(Sample(full.image))
    assert not usable(Sample(full.image, nothing))
    assert not usable(Sample(full.image, full.mask, nothing.astype(np.uint16)))
    assert not usable(Sample(full.image, full.mask, None, np.zeros((0, 4), np.float32)))
    assert usable(Sample(full.image, full.mask))


@pytest.mark.parametrize("box", [[np.nan, 0, 5, 5], [5, 5, 2, 9], [70, 0, 80, 5], [-9, 0, -2, 5]])
def test_impossible_boxes_are_named(box: list[float]) -> None:
    sample = Sample(make_sample().image, boxes=np.array([[1, 1, 5, 5], box], np.float32))
    for name in ("detection", "centroid_heatmap"):
        with pytest.raises(TaskError, match=rf"task {name} failed with params {{}}: box .* inside"):
            out(name, sample)


def test_boxes_are_drawn_around_their_objects() -> None:
    sample = make_sample(64)
    drawn = out("detection", sample)[..., 0] > 0
    frame = np.zeros_like(drawn)
    for number in (1, 2, 3):
        y, x = np.nonzero(sample.instances == number)
        frame[[y.min(), y.max()], x.min() : x.max() + 1] = True
        frame[y.min() : y.max() + 1, [x.min(), x.max()]] = True
    np.testing.assert_array_equal(drawn, frame)


def test_heatmap_is_the_highest_of_the_bumps() -> None:
    sample = make_sample(64)
    y, x = np.mgrid[:64, :64]
    bumps = [
        np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2))
        for cy, cx in ndimage.center_of_mass(sample.mask > 0, sample.instances, [1, 2, 3])
    ]
    np.testing.assert_allclose(
        out("centroid_heatmap", sample)[..., 0].astype(float),
        255 * np.max(bumps, axis=0),
        atol=0.51,
    )


@every_mask
def test_distance_agrees_with_scipy(mask: np.ndarray) -> None:
    inside = np.pad(mask > 0, 1) if mask.all() else mask > 0
    oracle = ndimage.distance_transform_edt(inside)
    oracle = oracle[1:-1, 1:-1] if mask.all() else oracle
    drawn = out("distance_map", picture(mask))[..., 0].astype(float)
    np.testing.assert_allclose(drawn, 255 * oracle / oracle.max(), atol=0.51)


# Generator and width of masks on which a distance lies between two grey levels.
@pytest.mark.parametrize(("seed", "width"), [(23, 6), (72, 5), (117, 5), (296, 4), (323, 6)])
def test_distance_does_not_depend_on_where_memory_lies(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.random((64, 64)), width) > 0.5
    sample = picture(mask.astype(np.uint8))
    held, found = [], set()
    for size in rng.integers(1, 5000, 60).tolist():
        held.append(np.empty(size, np.uint8))
        found.add(REGISTRY["distance_map"].apply(sample, {})[1].tobytes())
    assert len(found) == 1


@every_mask
def test_boundary_is_where_neighbours_differ(mask: np.ndarray) -> None:
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        step = np.diff(mask.astype(int), axis=axis) != 0
        edge |= np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        edge |= np.pad(step, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    np.testing.assert_array_equal(out("boundary", picture(mask))[..., 0] > 0, edge)


@given(mask=label_maps())
@settings(max_examples=40, deadline=None)
def test_skeleton_keeps_every_part_in_one_piece(mask: np.ndarray) -> None:
    lines = thinned(mask.astype(np.uint16) if mask.dtype == np.int32 else mask) > 0
    assert not (lines & (mask == 0)).any()
    eight = np.ones((3, 3))
    assert ndimage.label(lines, eight)[1] == ndimage.label(mask > 0, eight)[1]
    np.testing.assert_array_equal(thinned(lines.astype(np.uint8)), lines)


def test_thinning_is_that_of_skimage() -> None:
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(0)
    for sigma in (0.5, 1, 2, 3, 4):
        mask = ndimage.gaussian_filter(rng.standard_normal((48, 60)), sigma) > 0
        np.testing.assert_array_equal(thinned(mask.astype(np.uint8)) > 0, morphology.thin(mask))
    whole = np.ones((30, 30), np.uint8)
    np.testing.assert_array_equal(thinned(whole) > 0, morphology.thin(whole))


def test_thinning_of_every_neighbourhood_is_that_of_guo_and_hall() -> None:
    """Both passes, by their conditions, on all 512 windows and on many masks wider than a word."""

    def one_pass(mask: np.ndarray, odd: bool) -> np.ndarray:
        p = np.pad(mask, 1)
        around = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
        height, width = mask.shape
        n, ne, e, se, s, sw, w, nw = (
            p[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in around
        )
        pairs = [(n, ne | e), (e, se | s), (s, sw | w), (w, nw | n)]
        runs = sum((~side & beyond).astype(int) for side, beyond in pairs)
        first = sum((a | b).astype(int) for a, b in ((nw, n), (ne, e), (se, s), (sw, w)))
        second = sum((a | b).astype(int) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
        few = np.minimum(first, second)
        side = (n | ne | ~se) & e if odd else (s | sw | ~nw) & w
        return mask & ~((runs == 1) & (few >= 2) & (few <= 3) & ~side)

    def oracle(mask: np.ndarray) -> np.ndarray:
        while True:
            before, mask = mask, one_pass(one_pass(mask, True), False)
            if (mask == before).all():
                return mask

    windows = (np.arange(512)[:, None, None] >> np.arange(9).reshape(3, 3) & 1).astype(bool)
    apart = np.pad(windows, ((0, 0), (0, 2), (0, 2)))
    together = apart.reshape(16, 32, 5, 5).transpose(0, 2, 1, 3).reshape(80, 160)
    rng = np.random.default_rng(0)
    speckled = [
        rng.random((rng.integers(1, 40), rng.integers(1, 90))) < q for q in (0.5, 0.8, 0.95)
    ]
    for mask in (together, np.zeros((5, 5), bool), np.ones((9, 70), bool), *speckled):
        for kind in (np.uint8, np.uint16):
            np.testing.assert_array_equal(thinned(mask.astype(kind) * 7) > 0, oracle(mask))


def test_the_label_fills_the_output() -> None:
    image = make_sample().image
    drawn = [out("classification", Sample(image, label=k, n_labels=15)) for k in range(15)]
    assert len({d.tobytes() for d in drawn}) == 15
    for k, d in enumerate(drawn):
        np.testing.assert_array_equal(d, np.broadcast_to(class_colours(15)[k + 1], image.shape))
    last = Sample(image, label=MOST_LABELS - 1)
    assert out("classification", last).any()


@pytest.mark.parametrize(("label", "n_labels"), [(-1, 3), (3, 3), (1023, 0), (2000, 5000)])
def test_a_label_outside_of_the_labels_is_named(label: int, n_labels: int) -> None:
    sample = Sample(make_sample().image, label=label, n_labels=n_labels)
    with pytest.raises(TaskError, match=rf"classification .* the label is {label}, .* 0 to") as e:
        out("classification", sample)
    assert "correct the label" in e.value.remedy


@every_task
def test_a_class_outside_of_the_classes_is_named(name: str) -> None:
    mask = make_sample().mask.copy()
    mask[3, 3] = 9
    sample = Sample(make_sample().image, mask, None, None, 1, n_classes=2, n_labels=2)
    if "mask" in REGISTRY[name].needs or "classes" in REGISTRY[name].needs:
        with pytest.raises(TaskError, match=rf"{name} .*the mask has class 9, .* classes 1 to 2"):
            out(name, sample)


@every_task
@pytest.mark.parametrize(
    "kind", ["one pixel", "all at the border", "whole image", "2 x 2", "no box"]
)
def test_awkward_annotation(name: str, kind: str) -> None:
    mask = np.zeros((28, 28), np.uint8)
    if kind == "one pixel":
        mask[5, 5], mask[27, 27] = 1, 2
    elif kind == "all at the border":
        mask[0, :], mask[27, 3:9], mask[10:20, 27] = 1, 2, 1
    elif kind == "whole image":
        mask[:] = 1
        mask[:, 14:] = 2
    else:
        mask[4:6, 4:6], mask[20:22, 9:11] = 1, 2
    instances = None if kind == "no box" else mask.astype(np.uint16)
    sample = picture(mask, instances=instances, label=0, n_classes=2, n_labels=2)
    if not REGISTRY[name].usable(sample):
        assert (name, kind) == ("instance_segmentation", "no box")
        return
    drawn = out(name, sample)
    assert drawn.any()
    # The skeleton is that of all classes together.
    if name in ("segmentation", "distance_map", "skeleton", "detection") and kind != "whole image":
        for number in (1, 2):
            assert drawn[mask == number].any(), "an object is lost"
