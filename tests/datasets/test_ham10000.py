"""HAM10000: its four files, their download, and a copy of the user's own."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from generated import SPLITS, smooth_image
from loopback import Site
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.archives.ham10000 import IMAGES, MASKS, TABLE, read_ham10000
from medtaskatlas.datasets.catalogue import dataset_from_entry, listing, load_catalogue
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.own import check_own, load_own
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.remote.remote_file import Limits
from medtaskatlas.datasets.remote.urls import in_mirror
from medtaskatlas.formats.images import ImageSet

QUICK = Limits(tries=1, backoff=0.01, connect=2, stall=2)
CODES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
HEIGHT, WIDTH = 45, 60
FOLDER = MASKS.removesuffix(".zip")
Members = dict[str, bytes]


def encoded(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def picture(number: int) -> np.ndarray:
    """RGB with much red, so that swapped channels are seen."""
    pixels = smooth_image(np.random.default_rng(number), HEIGHT, WIDTH, colour=True) // 2
    return pixels + np.array([120, 40, 0], np.uint8)


def outline(number: int) -> np.ndarray:
    """A lesion of 0 and 255, another one on each picture."""
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    return cv2.circle(plane, (20 + number, 22), 8 + number % 5, 255, -1)


def name_of(number: int) -> str:
    return f"ISIC_{24306 + number:07d}"


def members() -> dict[str, Members | str]:
    """Content of the four files: 21 pictures of 14 lesions, half of which have two pictures."""
    lesions = [number % 14 for number in range(21)]
    rows = ["lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"]
    rows += [
        f"HAM_{lesion:07d},{name_of(n)},{CODES[lesion % 7]},histo,{'' if n == 3 else '80.0'},male,"
        "scalp,vidir_modern"
        for n, lesion in enumerate(lesions)
    ]
    pictures = {f"{name_of(n)}.jpg": encoded(".jpg", picture(n)[..., ::-1]) for n in range(21)}
    masks = {f"{FOLDER}/": b""}
    for n in range(21):
        masks[f"{FOLDER}/{name_of(n)}_segmentation.png"] = encoded(".png", outline(n))
        masks[f"__MACOSX/{FOLDER}/._{name_of(n)}_segmentation.png"] = b"\0\5\x16\7 of a Mac"
    first, second = (dict(list(pictures.items())[part]) for part in (slice(11), slice(11, None)))
    return {
        IMAGES[0]: first,
        IMAGES[1]: second,
        MASKS: masks,
        TABLE: "\n".join(rows[:1] + rows[:0:-1]),
    }


def write(folder: Path, content: dict[str, Members | str]) -> Path:
    """The files of a content."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, inside in content.items():
        if isinstance(inside, str):
            (folder / name).write_text(inside + "\n")
            continue
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in inside.items():
                archive.writestr(member, data)
        (folder / name).write_bytes(packed.getvalue())
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    return write(tmp_path / "published", members())


def entry_of(data: Path) -> Dataset:
    """The catalogue's dataset, with the sizes and hashes of generated files."""
    entry = load_catalogue()["ham10000"].model_dump()
    for name, file in entry["files"].items():
        content = (data / name).read_bytes()
        file |= {"bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
    return dataset_from_entry(entry)


def served(dataset: Dataset, data: Path, site_folder: Path) -> None:
    """Files where a mirror has them."""
    for name, file in dataset.files.items():
        site_folder.mkdir(exist_ok=True)
        place = Path(str(in_mirror(file.url, str(site_folder))))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((data / name).read_bytes())


def prepared(dataset: Dataset, raw: Path, out: Path, manifest: Path | None = None) -> ImageSet:
    prepare(dataset, raw, out, image_size=32, splits=SPLITS, seed=0, manifest=manifest)
    return ImageSet(out)


def test_downloaded_and_prepared(tmp_path, data):
    dataset, raw = entry_of(data), tmp_path / "raw"
    served(dataset, data, tmp_path / "site")
    with Site(tmp_path / "site") as site:
        raw.mkdir()
        (raw / "of_another_version.zip").touch()
        fetch(dataset, raw, mirror=site.url(""), limits=QUICK)
        assert {p.name for p in raw.iterdir()} == {*IMAGES, MASKS, TABLE, "MANIFEST.json"}
        manifest = json.loads((raw / "MANIFEST.json").read_text())
        origins = {file["file"]: file["origin"] for file in manifest["files"]}
        assert origins == {name: file.url for name, file in dataset.files.items()}
        count = len(site.asked)
        fetch(dataset, raw, mirror=site.url(""), limits=QUICK)  # they are there
        assert len(site.asked) == count
        (raw / MASKS).write_bytes(b"PK spoilt")
        fetch(dataset, raw, mirror=site.url(""), limits=QUICK)  # this one alone is fetched anew
        assert len(site.asked) == count + 1
    images = prepared(dataset, raw, tmp_path / "x.arrow")
    assert images.column("image_id").to_pylist() == [name_of(n) for n in range(21)]
    lesions = images.column("group_id").to_pylist()
    assert lesions == [f"HAM_{n % 14:07d}" for n in range(21)]
    assert images.numpy("label").tolist() == [n % 7 for n in range(21)]
    assert images.meta["labels"][4:6] == ["melanoma", "melanocytic nevi"]
    split = images.column("split").to_pylist()
    assert set(split) == {"train", "val", "test"}
    assert split[14:] == split[:7]  # pictures of one lesion are in one split
    assert set(images.numpy("mask").reshape(-1)) == {0, 1}


def test_frames_are_what_was_published(data):
    frames = list(read_ham10000(data, CODES))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.mask, outline(number) > 0)
        assert np.abs(frame.pixels.astype(float) - picture(number)).mean() < 3  # JPEG, RGB
        assert frame.group_source == "published"
        assert frame.split is None
    assert len(frames) == 21


def test_another_file_than_the_published_one(tmp_path, data):
    dataset = entry_of(data)
    write(data, {TABLE: str(members()[TABLE]).replace("akiec", "bcc")})
    served(dataset, data, tmp_path / "site")
    with Site(tmp_path / "site") as site, pytest.raises(DataError, match=rf"{TABLE}\).*expected"):
        fetch(dataset, tmp_path / "raw", mirror=site.url(""), limits=QUICK)
    assert not (tmp_path / "raw" / "MANIFEST.json").exists()


def table(old: str, new: str) -> Callable[[dict], None]:
    return lambda content: content.update({TABLE: content[TABLE].replace(old, new, 1)})


def member(file: str, name: str, data: bytes | None) -> Callable[[dict], None]:
    """Put a member into an archive, or take it out."""

    def change(content: dict) -> None:
        content[file].pop(name, None)
        if data is not None:
            content[file][name] = data

    return change


MASK = f"{FOLDER}/{name_of(20)}_segmentation.png"
TWO = outline(3) // 255 + 2 * (outline(9) // 255)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (table("dx,", "diagnosis,"), f"{TABLE}: line 1: there is no column dx"),
        (table(",akiec,", ",akeic,"), r"dx: 'akeic' is no diagnosis\n.*akiec"),
        (table(f",{name_of(4)},", f",{name_of(5)},"), rf"line 18: {name_of(5)} is listed twice"),
        (table("HAM_0000002,", ","), "lesion_id or image_id is empty"),
        (table(name_of(7), "ISIC_0000007"), "ISIC_0000007 .*has no picture .*2 such"),
        (member(IMAGES[0], f"{name_of(1)}.jpg", None), f"{name_of(1)} .*has no picture"),
        (member(IMAGES[1], f"{name_of(1)}.jpg", b"x"), f"{IMAGES[1]}: {name_of(1)} is there twice"),
        (member(IMAGES[1], f"{name_of(20)}.jpg", b"x"), f"{name_of(20)}.jpg' is damaged"),
        (member(IMAGES[1], f"{name_of(20)}.jpg", b""), f"{name_of(20)}.jpg' is damaged"),
        (member(IMAGES[1], "../x.jpg", b"x"), "x .*has a picture and no row"),
        (member(MASKS, MASK, None), f"{name_of(20)} .*has no mask"),
        (member(MASKS, MASK, encoded(".png", outline(1).T)), r"no mask .*\(60, 45\) for \(45"),
        (member(MASKS, MASK, encoded(".png", TWO)), r"no mask of its picture.*\[0, 1, 2, 3\]"),
        (lambda content: content.pop(IMAGES[1]), f"{IMAGES[1]} is missing"),
        (lambda content: content.update({MASKS: "no archive"}), f"{MASKS}.* damaged"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(tmp_path, change, problem):
    content = members()
    change(content)
    with pytest.raises(DataError) as caught:
        list(read_ham10000(write(tmp_path, content), CODES))
    assert re.search(problem, str(caught.value)), caught.value


def test_catalogue_entry(tmp_path):
    dataset = load_catalogue()["ham10000"]
    assert dataset_from_entry(json.loads(json.dumps(dataset.model_dump(mode="json")))) == dataset
    assert set(dataset.files) == {*IMAGES, MASKS, TABLE}
    assert dataset.raw_bytes(64) == 2_781_587_616
    # Both show HAM10000: their labels are the same.
    assert dataset.labels == load_catalogue()["dermamnist"].labels
    row = listing([dataset], tmp_path)[1][0]
    assert row[3:7] == ["10,015", "mask, label", "CC-BY-NC-4.0", "no"]


def test_a_copy_of_the_user_s_own(tmp_path, data):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"reader": "ham10000", "data": str(data)}))
    assert "info: 21 images in 14 groups can be used" in map(str, check_own(folder))
    dataset = load_own(folder)
    fetch(dataset, tmp_path / "raw")
    manifest = tmp_path / "raw" / "MANIFEST.json"
    assert len(prepared(dataset, data, tmp_path / "x.arrow", manifest)) == 21
    (data / MASKS).unlink()
    assert f"{MASKS} is missing" in next(f.problem for f in check_own(folder))
