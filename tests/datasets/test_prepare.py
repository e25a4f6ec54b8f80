from __future__ import annotations

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest

from generated import SPLITS as SHARES
from medfiles import SIZE, make_dataset, write_dicom
from medtaskatlas.atlas.catalogue import datasets_table
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.apportion import apportion
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256, write_json
from medtaskatlas.datasets.gather import assign_splits
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.datasets.prepare import prepare, shape
from medtaskatlas.datasets.resize import resize, resize_nearest
from medtaskatlas.formats.images import META_KEYS, SPLITS, ImageSet


def frames(n_groups, split=None):
    blank = np.zeros((4, 4), np.uint8)
    return [Frame(blank, f"i{k}", f"g{k}", "unknown", split=split) for k in range(n_groups)]


def run(dataset, folder, out, **keys):
    prepare(dataset, folder, out, **{"image_size": 32, "splits": SHARES, "seed": 0, **keys})


# --- what comes out of the embedded datasets


def test_no_group_in_two_splits(prepared):
    for images in prepared.values():
        pairs = set(zip(images.numpy("group_id"), images.numpy("split"), strict=True))
        assert len(pairs) == len({group for group, _ in pairs})


def test_no_identical_picture_in_two_splits_of_any_dataset(prepared):
    """Nor twice at all, turned or mirrored ones included."""
    seen: dict[str, tuple[str, str, str]] = {}
    for name, images in prepared.items():
        for row, (image, split) in enumerate(
            zip(images.images, images.numpy("split"), strict=True)
        ):
            turned = [np.rot90(i, k) for i in (image, image[:, ::-1]) for k in range(4)]
            key = min(hashlib.sha256(np.ascontiguousarray(t).data).hexdigest() for t in turned)
            assert key not in seen, (name, row, split, seen[key])
            seen[key] = (name, str(row), split)


def test_meta_is_whole_and_counts_agree(prepared, catalogue):
    for name, images in prepared.items():
        quality = images.meta["quality"]
        assert set(META_KEYS) <= set(images.meta)
        assert quality["kept"] == len(images)
        assert quality["found"] == quality["kept"] + sum(quality["excluded"].values())
        assert sum(quality["groups"].values()) == len(set(images.numpy("group_id")))
        assert len(images.meta["classes"]) == len(catalogue[name].classes)
        assert len(images) >= 10
        assert images.images.shape[1:] == (SIZE, SIZE, 3)


def test_annotations_are_what_is_promised(prepared, catalogue):
    from medtaskatlas.formats.colour import is_colour

    for name, images in prepared.items():
        provides = set(catalogue[name].provides)
        assert (images.masks is not None) == ("mask" in provides), name
        assert (images.instances is not None) == ("instances" in provides), name
        assert any(map(is_colour, images.images)) == ("colour" in provides), name
        if images.masks is not None:
            assert set(np.unique(images.masks)) == set(range(len(catalogue[name].classes) + 1))
            assert images.masks.any(axis=(1, 2)).mean() > 0.9


def test_single_studies_are_for_tests_only(prepared):
    for name in ("us_echo_cine", "cell_light"):
        assert set(prepared[name].numpy("split")) == {"test"}
    others = set(prepared) - {"us_echo_cine", "cell_light"}
    assert all(set(prepared[name].numpy("split")) == set(SPLITS) for name in others)


def test_bone_is_bright_and_table_is_not_bone(prepared):
    images = prepared["ct_dicom"]
    assert images.images[..., 0][images.masks == 1].mean() > 180
    row = list(images.numpy("image_id")).index("explicit_VR-UN")
    # The patient table is the bright arc above the body in this (prone) slice.
    assert not images.masks[row, : SIZE // 10].any()


def test_datasets_table(prepared, tmp_path):
    out = tmp_path / "datasets.parquet"
    datasets_table([images.path for images in prepared.values()], out, run="r")
    table = read_table(out, "datasets")
    assert list(table["dataset"]) == list(prepared)
    assert (table[["n_train", "n_val", "n_test"]].sum(axis=1) == table["n_images"]).all()
    groups = table[["groups_train", "groups_val", "groups_test"]].sum(axis=1)
    assert (groups == table["n_groups"]).all()
    assert (table["n_subjects"] <= table["n_groups"]).all()
    assert table["excluded"].map(lambda text: isinstance(json.loads(text), dict)).all()


# --- how it is done


@pytest.mark.parametrize("name", ["ct_dicom", "ihc_colon", "mr_diffusion"])
def test_same_bytes_when_run_twice(name, catalogue, raw, tmp_path):
    outs = [tmp_path / "a.arrow", tmp_path / "b.arrow"]
    for out in outs:
        run(catalogue[name], raw / name, out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_aspect_is_kept_and_nothing_padded():
    """A circle in a wide picture is as high as it is wide afterwards."""
    wide = np.full((100, 240), 50, np.uint8)
    cv2.circle(wide, (120, 50), 30, 200, -1)
    out = shape(Frame(wide, "i", "g", "unknown"), 50).image
    bright = out[..., 0] > 125
    assert abs(int(bright.any(axis=0).sum()) - int(bright.any(axis=1).sum())) <= 1
    assert out.min() >= 50
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


@pytest.mark.parametrize("side", [96, 189, 512, 1411])
def test_area_resize_agrees_with_opencv(side):
    image = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    ours, theirs = resize(image, 64), cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("side", [20, 48, 63])
def test_linear_resize_agrees_with_opencv(side):
    image = np.random.default_rng(side).integers(0, 256, (side, side), dtype=np.uint8)
    ours, theirs = resize(image, 64), cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("side", [20, 64, 96, 189, 512])
def test_labels_are_taken_by_nearest_exact(side):
    labels = np.random.default_rng(side).integers(0, 9, (side, side), dtype=np.uint8) * 7
    theirs = cv2.resize(labels, (64, 64), interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(resize_nearest(labels, 64), theirs)


@pytest.mark.parametrize("n", range(3, 40))
def test_split_counts_are_largest_remainders(n):
    splits = SHARES
    counts = apportion(n, splits)
    assert sum(counts.values()) == n
    assert min(counts.values()) >= 1
    if n >= 5:
        assert all(abs(counts[name] - splits[name] * n) < 1 for name in SPLITS)


def test_splits_depend_on_seed_and_not_on_order():
    there, back = frames(20), frames(20)[::-1]
    first = assign_splits(there, SHARES, 0, "d")
    assert first == assign_splits(back, SHARES, 0, "d")
    assert first != assign_splits(there, SHARES, 1, "d")
    assert first != assign_splits(there, SHARES, 0, "e")


def test_few_groups_are_test_and_given_splits_are_kept():
    assert set(assign_splits(frames(2), SHARES, 0, "d").values()) == {"test"}
    assert set(assign_splits(frames(3), SHARES, 0, "d").values()) == set(SPLITS)
    assert set(assign_splits(frames(9, "val"), SHARES, 0, "d").values()) == {"val"}


def test_group_with_two_given_splits():
    torn = [*frames(1, "train"), *frames(1, "test")]
    with pytest.raises(DataError, match="g0 is in two splits"):
        assign_splits(torn, SHARES, 0, "d")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:1000]), "truncated or changed: 1000 bytes"),
        (lambda f: f.unlink(), "is missing, though"),
        (lambda f: f.write_bytes(f.read_bytes()[:-1] + b"\0"), "has changed: sha256"),
        (lambda f: (f.parent / "MANIFEST.json").unlink(), r"MANIFEST\.json is missing"),
        (lambda f: (f.parent / "MANIFEST.json").write_text("{"), r"MANIFEST\.json is damaged"),
    ],
)
def test_bad_raw_files(damage, says, catalogue, raw, tmp_path):
    folder = tmp_path / "cell_light"
    shutil.copytree(raw / "cell_light", folder)
    damage(folder / "cell.png")
    out = tmp_path / "out" / "cell_light.arrow"
    with pytest.raises(DataError, match=f"(?s){says}.*remedy: delete"):
        run(catalogue["cell_light"], folder, out)
    assert not out.exists()


def test_promises_are_checked(catalogue, raw, tmp_path):
    dataset = catalogue["xr_leg"].model_copy(update={"provides": ["mask"]})
    with pytest.raises(DataError, match="disagree about mask"):
        run(dataset, raw / "xr_leg", tmp_path / "x.arrow")


def test_identical_images_are_dropped(tmp_path):
    """Two files that differ only in what is cropped away."""
    values = np.random.default_rng(0).integers(0, 255, (64, 80), dtype=np.uint8)
    for name, edge in (("a", 0), ("b", 255)):
        values[:, -1] = edge
        write_dicom(tmp_path / f"{name}.dcm", values)
    entries = [
        {"files": [f"{name}.dcm"], "group": name, "window": [128, 256], "crop": [0, 64, 0, 64]}
        for name in "ab"
    ]
    dataset = make_dataset(["a.dcm", "b.dcm"], {"kind": "pictures", "pictures": entries})
    files = [
        {"file": p.name, "bytes": p.stat().st_size, "sha256": sha256(p)}
        for p in sorted(tmp_path.glob("*.dcm"))
    ]
    write_json(tmp_path / "MANIFEST.json", {"files": files})
    run(dataset, tmp_path, tmp_path / "out.arrow")
    images = ImageSet(tmp_path / "out.arrow")
    assert list(images.numpy("image_id")) == ["a"]
    assert list(images.meta["quality"]["excluded"].values()) == [1]
    assert "mask" not in images
    assert "spacing_mm" not in images
