"""npz files: read by rows, never unpickled, every kind of damage named."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from generated import SPLITS as SHARES
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256, write_json
from medtaskatlas.datasets.io.frame import Excluded
from medtaskatlas.datasets.io.npz import BEYOND, SLICES, UNTAKEN, read_arrays
from medtaskatlas.datasets.io.npz_stream import NpzStream
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.sources.npz import NpzDataset
from medtaskatlas.formats.images import ImageSet

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def medmnist(path, n=(6, 2, 2), side=28, labels=None, **more):
    arrays = {}
    for split, count in zip(("train", "val", "test"), n, strict=True):
        arrays[f"{split}_images"] = noise(count, side, side)
        arrays[f"{split}_labels"] = np.zeros((count, 1), np.uint8) if labels is None else labels
    np.savez_compressed(path, **{**arrays, **more})
    return path


def entry(**keys):
    """Entry of a published set; `samples` as :func:`medmnist` makes them."""
    layout = keys.get("layout", "medmnist")
    sizes = {"medmnist": (28, 64, 128, 224), "medsegbench": (128, 256, 512)}[layout]
    urls = {
        side: {"url": f"https://host.invalid/toy_{side}.npz", "md5": f"{side:032x}"}
        for side in sizes
    }
    about = (
        {"labels": ["a", "b"], "label_kind": "binary", "provides": ["label"]}
        if layout == "medmnist"
        else {}
    )
    return NpzDataset.model_validate(
        {
            "name": "toy",
            "source": layout,
            "title": "toy",
            "modality": "XR",
            "body_part": "none",
            "licence": "CC0-1.0",
            "citation": "none",
            "annotation": "ground_truth",
            "annotation_note": "made up",
            "group_note": "none",
            "reader": "npz",
            "layout": layout,
            "channels": 1,
            "samples": {"train": 6, "val": 2, "test": 2},
            "files": urls,
            **about,
            **keys,
        }
    )


def read(dataset, path):
    path.rename(path.with_name(dataset.file_for(28)[1].name))
    return dataset.read(path.parent, image_size=28, limit=None, note=print)


def frames(items):
    return [item for item in items if not isinstance(item, Excluded)]


def test_medmnist_pictures(tmp_path):
    path = medmnist(tmp_path / "a.npz")
    stored = dict(np.load(path))
    found = list(read(entry(), path))
    assert [f.split for f in found] == ["train"] * 6 + ["test"] * 2 + ["val"] * 2
    np.testing.assert_array_equal(found[7].pixels, stored["test_images"][1])
    assert found[7].image_id == found[7].group_id == "test-000001"
    assert {f.group_source for f in found} == {"unknown"}
    assert {f.label for f in found} == {0}


def test_multi_label(tmp_path):
    """One finding is a label, none is `no finding`, several are no label."""
    labels = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1]], np.uint8)
    path = medmnist(tmp_path / "a.npz", n=(3, 3, 3), labels=labels)
    found = list(read_arrays(path, label_kind="multi_label"))
    assert [f.label for f in found[:3]] == [0, 2, None]
    assert [f.labels for f in found[:3]] == [
        (False,) * 3,
        (False, True, False),
        (True, False, True),
    ]


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("non_zero", {"label": [[0, 255], [7, 0]]}, [[0, 1], [1, 0]]),
        ("values", {"label": [[0, 2], [1, 0]]}, [[0, 2], [1, 0]]),
        ("per_category", {"label_C1": [[0, 1], [0, 0]], "label_C2": [[9, 9], [0, 0]]}, None),
    ],
)
def test_masks(tmp_path, kind, stored, expected):
    """Blocks of 8 pixels; of classes that overlap the lower id is on top."""
    big = np.ones((8, 8), np.uint8)
    expected = expected or [[2, 1], [0, 0]]
    arrays = {"train_images": noise(1, 16, 16)}
    for name, plane in stored.items():
        arrays[f"train_{name}"] = np.kron(np.array(plane, np.uint8), big)[None]
    np.savez(tmp_path / "a.npz", **arrays)
    names = [f"train_{name}" for name in stored]
    (frame,) = read_arrays(
        tmp_path / "a.npz",
        masks=kind,
        arrays={"train": names},
    )
    np.testing.assert_array_equal(frame.mask, np.kron(np.array(expected, np.uint8), big))


def test_volumes_become_slices_with_content(tmp_path):
    volume = np.zeros((2, 20, 28, 28), np.uint8)
    volume[0, 5:15] = noise(10, 28, 28)
    np.savez(tmp_path / "a.npz", train_images=volume, train_labels=np.array([[1], [0]]))
    found = list(read_arrays(tmp_path / "a.npz", label_kind="binary"))
    kept = frames(found)
    assert [f.slice_index for f in kept] == [6, 8, 11, 13]
    assert len(kept) == SLICES
    assert {(f.volume_id, f.group_id, f.label) for f in kept} == {
        ("train-000000", "train-000000", 1)
    }
    reasons = [f.reason for f in found if isinstance(f, Excluded)]
    assert reasons.count(UNTAKEN) == 6
    assert len(found) == 40, "every slice is either a frame or counted"


def test_limit_is_spread_over_the_splits(tmp_path):
    path = medmnist(tmp_path / "a.npz", n=(60, 20, 20))
    found = list(read_arrays(path, limit=10))
    kept = frames(found)
    assert [sum(f.split == s for f in kept) for s in ("train", "val", "test")] == [6, 2, 2]
    assert len(found) == 100
    assert {f.reason for f in found if isinstance(f, Excluded)} == {BEYOND}


def test_blank_pictures_are_counted(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.full((2, 28, 28), 9, np.uint8))
    found = list(read_arrays(tmp_path / "a.npz"))
    assert all(isinstance(f, Excluded) and "flat" in f.reason for f in found)


# --- damage


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def wrong_checksum(path):
    """A byte of the stored pixels changes; the directory stays whole."""
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated, r"a\.npz is no whole npz file"),
        (wrong_checksum, r"array 'train_images' is .*Bad CRC-32"),
        (lambda p: p.write_bytes(b"<!DOCTYPE html>"), r"is no whole npz file"),
        (lambda p: p.write_bytes(b""), r"is no whole npz file"),
    ],
)
def test_damaged_files(tmp_path, damage, says):
    path = tmp_path / "a.npz"
    np.savez(path, train_images=noise(4, 28, 28))
    damage(path)
    with pytest.raises(DataError, match=f"(?s){says}.*remedy: delete"):
        list(read_arrays(path))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"train_images": np.array([{"a": 1}], dtype=object)}, "pickled Python objects"),
        ({"train_images": np.asfortranarray(noise(4, 28, 28))}, "by columns"),
        ({"train_images": np.zeros((4, 28, 28), np.float32)}, "is float32, not uint8"),
        ({"train_images": noise(4, 28)}, "2 dimensions"),
        ({"train_images": noise(2, 2, 8, 8, 8)}, "5 dimensions"),
        ({"train_images": np.uint8(3)}, "a single number"),
        ({"pictures": noise(4, 28, 28)}, "no train_images, val_images or test_images"),
        (
            {"train_images": noise(4, 28, 28), "train_labels": np.zeros((3, 1))},
            "3 rows for 4 images",
        ),
        ({"train_images": noise(4, 28, 28)}, "no array 'train_labels'"),
    ],
)
def test_arrays_of_another_kind(tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    kind = "binary" if "label" in says or "rows for" in says else "none"
    with pytest.raises(DataError, match=rf"a\.npz.*{says}"):
        list(read_arrays(tmp_path / "a.npz", label_kind=kind))


def test_masks_of_another_size(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=noise(2, 32, 32), train_label=noise(2, 16, 16))
    with pytest.raises(DataError, match=r"train_label is \(2, 16, 16\), train_images is"):
        list(read_arrays(tmp_path / "a.npz", masks="values"))


def test_another_release(tmp_path):
    with pytest.raises(DataError, match="train has 5 images, the catalogue says 6"):
        list(read(entry(), medmnist(tmp_path / "a.npz", n=(5, 2, 2))))


def test_member_longer_than_its_header(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file, file.open("x.npy", "w") as member:
        np.lib.format.write_array(member, noise(4, 4))
        member.write(b"more")
    with NpzStream(tmp_path / "a.npz") as stream, pytest.raises(DataError, match="longer than"):
        stream.whole("x")


# --- all the way


def run(dataset, path, out, **keys):
    files = [{"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}]
    write_json(path.parent / "MANIFEST.json", {"files": files})
    prepare(dataset, path.parent, out, **{"image_size": 64, "splits": SHARES, "seed": 0, **keys})
    return ImageSet(out)


def test_published_splits_are_kept(tmp_path):
    images = run(entry(), medmnist(tmp_path / "toy_64.npz"), tmp_path / "out.arrow")
    assert list(images.numpy("split")) == ["train"] * 6 + ["test"] * 2 + ["val"] * 2
    assert images.images.shape == (10, 64, 64, 3)
    assert images.sample(0).n_labels == 2


def test_a_test_image_that_repeats_a_training_image_is_dropped(tmp_path):
    """And one that is merely brighter is counted."""
    path = medmnist(tmp_path / "toy_64.npz", side=64)
    arrays = dict(np.load(path))
    smooth = np.add.outer(np.arange(64), 2 * np.arange(64)).astype(np.uint8)
    arrays["train_images"][0] = smooth
    arrays["test_images"][0] = arrays["train_images"][3]
    arrays["val_images"][1] = np.clip(smooth.astype(int) + 3, 0, 255)
    np.savez(path, **arrays)
    images = run(entry(), path, tmp_path / "out.arrow")
    quality = images.meta["quality"]
    assert quality["excluded"] == {"identical to another image after preparation": 1}
    assert "test-000000" not in list(images.numpy("image_id"))
    assert quality["torn"] == 1
    whole = run(entry(), path, tmp_path / "whole.arrow", keep_duplicates=True)
    assert whole.meta["quality"]["excluded"] == {}
    assert len(whole) == len(images) + 1


def test_a_set_at_another_size_has_the_same_images_groups_and_splits(tmp_path):
    """Whatever looks alike at one size alone: the smaller one repeats two images and joins two."""
    large = dict(np.load(medmnist(tmp_path / "large.npz", n=(12, 4, 4), side=64)))
    small = {k: a[:, :28, :28].copy() if a.ndim == 3 else a for k, a in large.items()}
    small["train_images"][5] = small["train_images"][4]
    small["train_images"][7] = small["train_images"][6]
    small["train_images"][7, 0, 0] ^= 1
    dataset = entry(samples={"train": 12, "val": 4, "test": 4}, overlaps=["busi"])
    for side, arrays in ((28, small), (64, large)):
        (tmp_path / str(side)).mkdir()
        np.savez(tmp_path / str(side) / f"toy_{side}.npz", **arrays)
    first = run(dataset, tmp_path / "28/toy_28.npz", tmp_path / "toy.arrow", image_size=28)
    copy = dataset.at_another_size("toy_64")
    path = tmp_path / "64/toy_64.npz"
    alone = run(dataset, path, tmp_path / "alone.arrow")
    like = run(copy, path, tmp_path / "toy_64.arrow", like=tmp_path / "toy.arrow")
    names = ("image_id", "subject_id", "group_id", "split", "label")
    assert all(like.column(n).to_pylist() == first.column(n).to_pylist() for n in names)
    assert alone.column("group_id").to_pylist() != first.column("group_id").to_pylist()
    assert like.images.shape[1:] == (64, 64, 3)
    assert like.meta["quality"]["excluded"] == {"left out at the other size": 1}
    assert (like.meta["dataset"], like.meta["copy_of"]) == ("toy_64", "toy")
    assert "copy_of" not in first.meta
    assert copy.as_published() == dataset
    # Raw data are those of the set itself.
    assert copy.place(64) == dataset.place(64) == "medmnist/toy/64"


MEMORY = r"""
import json, re, sys, time
from pathlib import Path
from test_npz import SHARES, entry
from medtaskatlas.datasets.prepare import prepare
n = int(sys.argv[1])
samples = {"train": n - 20, "val": 10, "test": 10}
dataset = entry(samples=samples)
start = time.perf_counter()
prepare(dataset, Path(sys.argv[2]), Path(sys.argv[3]), image_size=28, splits=SHARES, seed=0)
seconds = time.perf_counter() - start
# Not getrusage: that of a child begins with the peak of its parent.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([int(peak[1]) / 1024, seconds]))
"""


def prepared_in_a_process(tmp_path, n):
    """MiB of memory and seconds of a preparation of n colour pictures of 28 px."""
    folder = tmp_path / "raw"
    folder.mkdir()
    path = folder / "toy_28.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for split, count in (("train", n - 20), ("val", 10), ("test", 10)):
            with file.open(f"{split}_images.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28, 3)}
                np.lib.format.write_array_header_1_0(member, header)
                for begin in range(0, count, 1000):
                    member.write(noise(min(1000, count - begin), 28, 28, 3).data)
            with file.open(f"{split}_labels.npy", "w") as member:
                np.lib.format.write_array(member, np.zeros((count, 1), np.uint8))
    files = [{"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}]
    write_json(folder / "MANIFEST.json", {"files": files})
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(n), str(folder), str(tmp_path / "out.arrow")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc")


@LINUX
def test_memory_of_a_large_file(tmp_path):
    mebibytes, _ = prepared_in_a_process(tmp_path, 10_000)
    assert mebibytes < 400


@LINUX
@pytest.mark.long
def test_memory_of_200_000_images(tmp_path):
    start = time.perf_counter()
    mebibytes, seconds = prepared_in_a_process(tmp_path, 200_000)
    print(f"{mebibytes:.0f} MiB, {seconds:.0f} s of {time.perf_counter() - start:.0f} s")
    assert mebibytes < 1536


def test_one_hot_masks_and_ids_beyond_8_bits_are_refused(tmp_path):
    """Neither the first channel nor what is left of a number modulo 256 is the mask."""
    images, path = noise(3, 28, 28), tmp_path / "x.npz"
    for mask, says in (
        (np.eye(3, dtype=np.uint8)[noise(3, 28, 28) % 3], "the 3 channels of train_label differ"),
        (np.full((3, 28, 28), 257, np.uint16), "ids that are not 0 to 255"),
        (np.full((3, 28, 28), 0.5, np.float32), "ids that are not 0 to 255"),
    ):
        np.savez(path, train_images=images, train_label=mask)
        with pytest.raises(DataError, match=says):
            list(read_arrays(path, masks="values"))
    same = np.repeat(noise(3, 28, 28)[..., None] % 3, 3, axis=-1)
    np.savez(path, train_images=images, train_label=same)
    for row, frame in enumerate(read_arrays(path, masks="values")):
        np.testing.assert_array_equal(frame.mask, same[row, ..., 0])
