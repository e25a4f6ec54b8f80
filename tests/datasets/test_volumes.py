"""Volumes: true in millimetres, the right way round, with the splits of their images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from scipy import ndimage

import folders
from generated import SPLITS, write_dataset
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.io.frame import TOO_THIN, Excluded
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.prepare_volumes import NO_IMAGE, owners, prepare_volumes
from medtaskatlas.datasets.resample import cube_spacing, labels_to_cube, to_cube
from medtaskatlas.datasets.sources.folder import load_folder_dataset
from medtaskatlas.datasets.sources.npz import NpzDataset
from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.volumes import META_KEYS, VolumeSet, write_volumes

SHARED = REPOSITORY.parent / "shared"
MM = (0.8, 1.2, 3.0)  # along x, y, z
SHAPE = (100, 60, 24)


def made(dataset: Dataset, tmp_path: Path, size: int, image_size: int = 32, **how) -> VolumeSet:
    """The volumes of a dataset, by way of its images."""
    raw = {}
    for side in (image_size, size):
        place = tmp_path / "data" / dataset.place(side)
        fetch(dataset, place, image_size=side, mirror=str(tmp_path / "mirror"))
        raw[side] = dataset.folder or place, place / "MANIFEST.json"
    images, out = tmp_path / "images.arrow", tmp_path / "volumes.arrow"
    folder, manifest = raw[image_size]
    sizes = {"image_size": image_size, "splits": SPLITS, "seed": 0}
    prepare(dataset, Path(folder), images, manifest=manifest, **sizes, **how)
    folder, manifest = raw[size]
    prepare_volumes(dataset, Path(folder), images, out, volume_size=size, manifest=manifest)
    return VolumeSet(out)


def own(root: Path, **keys) -> Dataset:
    """A folder dataset of MR volumes."""
    return load_folder_dataset(folders.describe(root, modality="MR", body_part="brain", **keys))


def sphere(radius_mm: float, mm=MM, shape=SHAPE) -> np.ndarray:
    """A ball around the middle of a volume, uint8 of 0 and 1."""
    axes = [(np.arange(n) - (n - 1) / 2) * side for n, side in zip(shape, mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return (x**2 + y**2 + z**2 <= radius_mm**2).astype(np.uint8)


# --- Resampling


@pytest.mark.parametrize("size", [24, 48, 64, 128])
def test_a_sphere_stays_a_sphere_in_millimetres(size: int) -> None:
    radius = 28.0
    ball = sphere(radius).transpose(2, 1, 0)
    spacing = MM[::-1]
    mm = cube_spacing(ball.shape, spacing, size)
    labels = labels_to_cube(ball, spacing, size)
    assert labels.sum() * mm**3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    # As wide along every axis; a voxel of the coarsest axis at each end is not known better.
    for axis in range(3):
        across = np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis})))
        assert (across[-1] - across[0] + 1) * mm == pytest.approx(2 * radius, abs=MM[2] + mm)
        assert across[0] + across[-1] == pytest.approx(size - 1, abs=1)
    grey = to_cube(200 * ball, spacing, size) / 200
    assert grey.sum() * mm**3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


def test_shrinking_takes_means_so_that_nothing_aliases() -> None:
    board = (np.indices((64, 64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert (to_cube(board, (1, 1, 1), 16) == 100).all()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 60)).astype(np.uint8)
    by_fours = noise.reshape(15, 4, 15, 4, 15, 4).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(to_cube(noise, (2, 2, 2), 15), np.floor(by_fours + 0.5))


def test_enlarging_is_linear_between_voxel_centres() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (16, 16, 16)).astype(np.uint8)
    wanted = ndimage.zoom(coarse.astype(float), 2.5, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(to_cube(coarse, (1, 1, 1), 40), wanted, atol=0.5 + 1e-6)


def test_short_axes_are_filled_up_with_the_smallest_value() -> None:
    flat = np.full((8, 16, 16), 90, np.uint8)
    flat[3, 3, 3] = 40
    cube = to_cube(flat, (1, 1, 1), 16)
    np.testing.assert_array_equal(cube[4:12], flat)
    assert (cube[:4] == 40).all()
    assert (cube[12:] == 40).all()
    mask = labels_to_cube(np.ones((8, 16, 16), np.uint8), (1, 1, 1), 16)
    np.testing.assert_array_equal(mask.sum(axis=(1, 2)), [0] * 4 + [256] * 8 + [0] * 4)


# --- Folder datasets


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PSR"])
def test_masks_of_anisotropic_volumes_keep_their_volume(tmp_path: Path, codes: str) -> None:
    radius = 28.0
    grey = 100 + 50 * sphere(radius).astype(np.int16) + folders.head(SHAPE) // 20
    folders.write_nifti(tmp_path / "mine/images/a.nii.gz", grey, MM, codes)
    folders.write_nifti(tmp_path / "mine/masks/a.nii.gz", sphere(radius), MM, codes)
    volumes = made(own(tmp_path / "mine", masks="masks", classes={1: "ball"}), tmp_path, 48)
    assert volumes.masks is not None
    assert volumes.volumes.shape == volumes.masks.shape == (1, 48, 48, 48)
    mm = volumes.numpy("spacing_mm")
    np.testing.assert_allclose(mm, 80 / 48, rtol=1e-5)
    np.testing.assert_allclose(volumes.column("native_spacing_mm").to_pylist(), [MM[::-1]])
    found = volumes.masks.sum() * mm**3
    np.testing.assert_allclose(found, 4 / 3 * np.pi * radius**3, rtol=0.03)


def store_nifti(codes: str):
    def store(images: Path, name: str, values: np.ndarray) -> None:
        folders.write_nifti(images / f"{name}.nii.gz", values, (1, 1, 2), codes)

    return store


def store_nrrd(space: str):
    def store(images: Path, name: str, values: np.ndarray) -> None:
        folders.write_nrrd(images / f"{name}.nrrd", values, (1, 1, 2), space=space)

    return store


def store_series(images: Path, name: str, values: np.ndarray) -> None:
    folders.write_series(images / name, values, (1, 1, 2))


@pytest.mark.parametrize(
    "store",
    [
        *(store_nifti(codes) for codes in ("RAS", "LAS", "LPS", "SRA")),
        *(store_nrrd(space) for space in ("left-posterior-superior", "RAS", "LAS")),
        store_series,
    ],
    ids=["RAS", "LAS", "LPS", "SRA", "nrrd LPS", "nrrd RAS", "nrrd LAS", "dicom"],
)
def test_the_patients_right_front_and_head_stay_where_they_are(tmp_path: Path, store) -> None:
    shape = (24, 28, 13)
    for name, place in (("right", (20, 14, 7)), ("front", (12, 24, 7)), ("head", (12, 14, 11))):
        x, y, z = place
        values = np.full(shape, 50, np.int16)
        values[x - 2 : x + 3, y - 2 : y + 3, z - 1 : z + 2] = 900
        store(tmp_path / "mine/images", name, values)
    cubes = own(tmp_path / "mine").read_volumes(tmp_path / "mine", volume_size=28, note=print)
    centre = {
        cube.volume_id: ndimage.center_of_mass(to_cube(cube.voxels, cube.spacing_mm, 28) > 128)
        for cube in cubes
    }
    # Axial slices as radiologists look at them: right on the left, front at the top; head last.
    assert centre["right"] == pytest.approx((15.5, 13, 5), abs=0.6)
    assert centre["front"] == pytest.approx((15.5, 3, 13), abs=0.6)
    assert centre["head"] == pytest.approx((23.5, 13, 13), abs=0.6)


def test_windows_are_those_of_slices(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-900, 900, (32, 32, 32)).astype(np.int16)
    folders.write_nifti(tmp_path / "mine/images/a.nii.gz", values)
    root = folders.describe(tmp_path / "mine", modality="CT", body_part="abdomen", slices=32)
    volumes = made(load_folder_dataset(root), tmp_path, 32)
    images = ImageSet(tmp_path / "images.arrow")
    for row, place in enumerate(images.numpy("slice_index")):
        np.testing.assert_array_equal(volumes.volumes[0, place], images.images[row, ..., 0])


def test_whose_a_volume_is_stands_in_its_images(tmp_path: Path) -> None:
    for i in range(10):
        grey = folders.head() + np.random.default_rng(i).integers(0, 400, (24, 28, 20))
        folders.write_nifti(tmp_path / "mine/images" / f"p{i // 2}_{i}.nii", grey.astype(np.int16))
    folders.table(
        tmp_path / "mine",
        "labels.csv",
        "image,label",
        *(f"p{i // 2}_{i}.nii,{'odd' if i % 2 else 'even'}" for i in range(10)),
    )
    dataset = own(tmp_path / "mine", labels="labels.csv", group_pattern="^(p.)_")
    volumes = made(dataset, tmp_path, 16)
    images = ImageSet(tmp_path / "images.arrow")
    keys = ("volume_id", "subject_id", "group_id", "group_source", "split", "label")
    of_images = set(zip(*(images.column(key).to_pylist() for key in keys), strict=True))
    assert set(zip(*(volumes.column(key).to_pylist() for key in keys), strict=True)) == of_images
    assert len(volumes) == len(of_images) == 10
    assert set(volumes.column("split").to_pylist()) == {"train", "val", "test"}
    assert volumes.meta["label_kind"] == "binary"
    assert volumes.meta["quality"]["splits"] == {"train": 6, "val": 2, "test": 2}


def test_what_is_left_out_is_counted_by_its_reason(tmp_path: Path) -> None:
    images = tmp_path / "mine/images"
    for name, values in (("a", folders.head()), ("b", folders.head()[::-1]), ("c", folders.head())):
        folders.write_nifti(images / f"{name}.nii", values)
    folders.write_nifti(images / "thin.nii", folders.head((24, 28, 7)))
    folders.write_nifti(images / "flat.nii", np.full((24, 28, 20), 7, np.int16))
    folders.write_series(images / "nowhere", folders.head())
    for file in (images / "nowhere").iterdir():
        header = pydicom.dcmread(file)
        del header.ImagePositionPatient
        header.save_as(file)
    folders.write(images / "picture.png", folders.picture())
    dataset = own(tmp_path / "mine", exclude={"c.nii": "moved"})
    volumes = made(dataset, tmp_path, 16)
    assert volumes.numpy("volume_id").tolist() == ["a", "b"]
    quality = volumes.meta["quality"]
    assert (quality["found"], quality["kept"]) == (6, 2)
    assert quality["excluded"] == {
        "excluded in dataset.yaml: moved": 1,
        "flat: standard deviation below 1": 1,
        TOO_THIN: 1,
        "its slices have no place in space, or its voxels no size": 1,
    }


def test_a_small_mask_that_is_lost_is_counted(tmp_path: Path) -> None:
    dot = np.zeros((64, 64, 64), np.uint8)
    dot[9, 9, 9] = 1
    for name, mask in (("dot", dot), ("none", 0 * dot), ("ball", sphere(20, (1, 1, 1), dot.shape))):
        folders.write_nifti(tmp_path / "mine/images" / f"{name}.nii", folders.head(dot.shape))
        folders.write_nifti(tmp_path / "mine/masks" / f"{name}.nii", mask)
    volumes = made(own(tmp_path / "mine", masks="masks", classes={1: "dot"}), tmp_path, 16)
    quality = volumes.meta["quality"]
    assert (quality["empty_masks"], quality["masks_lost_by_resampling"]) == (2, 1)


def test_volumes_without_an_image_are_left_out_and_counted(tmp_path: Path) -> None:
    for i in range(6):
        grey = folders.head() + np.random.default_rng(i).integers(0, 400, (24, 28, 20))
        folders.write_nifti(tmp_path / "mine/images" / f"v{i}.nii", grey.astype(np.int16))
    volumes = made(own(tmp_path / "mine", slices=4), tmp_path, 16, limit=12)
    assert len(volumes) == 3
    assert volumes.meta["quality"]["excluded"] == {NO_IMAGE: 3}
    of_images = ImageSet(tmp_path / "images.arrow").column("volume_id").to_pylist()
    assert set(volumes.numpy("volume_id")) == set(of_images)


def test_a_mask_on_another_grid_is_an_error_as_for_slices(tmp_path: Path) -> None:
    folders.write_nifti(tmp_path / "images/a.nii", folders.head())
    folders.write_nifti(tmp_path / "masks/a.nii", np.ones((24, 28, 19), np.uint8))
    dataset = own(tmp_path, masks="masks", classes={1: "one"})
    for read in (
        dataset.read(tmp_path, image_size=32, limit=None, note=print),
        dataset.read_volumes(tmp_path, volume_size=32, note=print),
    ):
        with pytest.raises(DataError, match=r"has 24 x 28 x 19 voxels .* 24 x 28 x 20"):
            list(read)


@pytest.mark.parametrize(
    ("files", "has"),
    [
        ({"a.png": 1}, False),
        ({"a.dcm": 1}, False),
        ({"a.png": 1, "b.nii.gz": 1}, True),
        ({"a.nrrd": 1}, True),
        ({"s/1.dcm": 1, "s/2.dcm": 1}, True),
        ({"s/1.dcm": 1}, False),
    ],
)
def test_a_folder_is_known_to_have_volumes_by_its_names(tmp_path: Path, files, has) -> None:
    for name in files:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")  # it is not opened
    assert own(tmp_path).has_volumes is has


def test_masks_beside_loose_pictures_are_no_volumes(tmp_path: Path) -> None:
    folders.write(tmp_path / "a.png", folders.picture())
    folders.write_nifti(tmp_path / "masks/a.nii", np.ones((32, 24, 1), np.uint8))
    assert not own(tmp_path, images=".", masks="masks", classes={1: "x"}).has_volumes


# --- Published sets


def published(tmp_path: Path, kinds: int = 2) -> tuple[NpzDataset, dict[int, dict]]:
    """A set of volumes at 28 and 64 voxels, with its arrays."""
    rng, samples = np.random.default_rng(0), {"train": 5, "val": 3, "test": 3}
    mirror = tmp_path / "mirror" / "example.org"
    mirror.mkdir(parents=True)
    files, arrays = {}, {}
    for side in (28, 64):
        arrays[side] = {
            f"{split}_images": rng.integers(0, 256, (n, side, side, side)).astype(np.uint8)
            for split, n in samples.items()
        }
        arrays[side] |= {f"{s}_labels": np.arange(n)[:, None] % kinds for s, n in samples.items()}
        path = mirror / f"toy_{side}.npz"
        np.savez_compressed(path, **arrays[side])
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        files[side] = {"url": f"https://example.org/{path.name}", "md5": md5}
    entry = load_catalogue()["adrenalmnist3d"].model_dump()
    dataset = NpzDataset.model_validate({**entry, "samples": samples, "files": files})
    return dataset, arrays


@pytest.mark.parametrize(("size", "image_size"), [(28, 64), (28, 28), (64, 28)])
def test_a_published_size_is_kept_byte_for_byte(tmp_path: Path, size: int, image_size: int) -> None:
    dataset, arrays = published(tmp_path)
    volumes = made(dataset, tmp_path, size, image_size)
    split = np.array(volumes.column("split").to_pylist())
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(
            volumes.volumes[split == name], arrays[size][f"{name}_images"]
        )
        labels = arrays[size][f"{name}_labels"].ravel()
        np.testing.assert_array_equal(volumes.numpy("label")[split == name], labels)
    assert "spacing_mm" not in volumes, "none is published"
    assert volumes.meta["quality"]["excluded"] == {}


def test_another_size_is_made_of_the_next_larger_published_one(tmp_path: Path) -> None:
    dataset, arrays = published(tmp_path)
    volumes = made(dataset, tmp_path, 32, 28)
    row = volumes.numpy("volume_id").tolist().index("val-000001")
    whole = arrays[64]["val_images"][1]
    means = whole.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(volumes.volumes[row], np.floor(means + 0.5))


def test_sets_of_pictures_have_no_volumes(tmp_path: Path) -> None:
    known = load_catalogue()
    three = {name for name, dataset in known.items() if dataset.has_volumes}
    assert three == {name for name in known if name.endswith("mnist3d")}
    for name in ("breastmnist", "drive", "mni152_tissue"):
        assert not list(known[name].read_volumes(tmp_path, volume_size=28, note=print))


@pytest.mark.skipif(not (SHARED / "mirror").is_dir(), reason="no ../shared/mirror beside it")
@pytest.mark.parametrize("name", ["adrenalmnist3d", "vesselmnist3d"])
def test_real_sets_lose_nothing(tmp_path: Path, name: str) -> None:
    dataset = load_catalogue()[name]
    (tmp_path / "mirror").symlink_to(SHARED / "mirror")
    volumes = made(dataset, tmp_path, 28, 28)
    assert volumes.meta["quality"]["splits"] == dataset.samples
    path = tmp_path / "data" / dataset.place(28) / dataset.files[28].name
    split = np.array(volumes.column("split").to_pylist())
    with np.load(path) as arrays:
        np.testing.assert_array_equal(volumes.volumes[split == "val"], arrays["val_images"])


@pytest.mark.skipif(
    not (SHARED / "datasets" / "mr_hippocampus_msd").is_dir(), reason="no ../shared/datasets"
)
def test_real_masks_keep_their_volume(tmp_path: Path) -> None:
    dataset = load_folder_dataset(SHARED / "datasets" / "mr_hippocampus_msd")
    volumes = made(dataset, tmp_path, 64)
    assert (len(volumes), volumes.masks is not None) == (60, True)
    change = []
    names, sides = volumes.numpy("volume_id"), volumes.numpy("spacing_mm")
    for name, mask, mm in zip(names, volumes.masks, sides, strict=True):
        path = next((SHARED / "datasets/mr_hippocampus_msd/masks").glob(f"{name}.nii*"))
        native = nibabel.load(path)
        voxel = np.prod(native.header.get_zooms()[:3])
        change.append((mask > 0).sum() * mm**3 / ((native.get_fdata() > 0).sum() * voxel) - 1)
    assert np.abs(change).max() < 0.05
    assert abs(np.mean(change)) < 0.01


# --- The contract


def test_nothing_left_says_why(tmp_path: Path) -> None:
    for name in "ab":
        folders.write_nifti(tmp_path / "mine/images" / f"{name}.nii", folders.head((24, 28, 7)))
    with pytest.raises(DataError, match=rf"mine has no volume left \(2: {TOO_THIN}\)"):
        made(own(tmp_path / "mine"), tmp_path, 16)


def test_slices_of_a_volume_in_two_groups_are_an_error(tmp_path: Path) -> None:
    file = ImageSet(write_dataset(tmp_path / "a.arrow"))
    columns = {name: file.column(name) for name in file.columns}
    columns["volume_id"] = ["v0"] * len(file)
    write_arrow(tmp_path / "b.arrow", columns, file.meta)
    with pytest.raises(DataError, match="slices of volume v0 are in the groups group0 and group1"):
        owners(ImageSet(tmp_path / "b.arrow"))
    assert owners(file) == {}


def columns_of(n: int = 2, size: int = 16, **changes) -> dict:
    names = [f"v{i}" for i in range(n)]
    columns = {
        **dict.fromkeys(("volume_id", "subject_id", "group_id"), names),
        "group_source": ["published"] * n,
        "split": ["test"] * n,
        "volume": np.random.default_rng(0).integers(0, 256, (n,) + (size,) * 3).astype(np.uint8),
    }
    return {name: c for name, c in {**columns, **changes}.items() if c is not None}


META = dict.fromkeys(META_KEYS, "") | {"volume_size": 16, "classes": []}


def test_findings_and_values_are_kept(tmp_path: Path) -> None:
    found = {"labels": [(True, False, True), None], "value.age": [61.5, None]}
    columns = columns_of(**found, spacing_mm=[1.5, None], native_spacing_mm=[(3, 1, 1), None])
    write_volumes(tmp_path / "a.arrow", columns, META)
    read = VolumeSet(tmp_path / "a.arrow")
    np.testing.assert_array_equal(read.volumes, columns["volume"])
    assert read.column("labels").to_pylist() == [[True, False, True], None]
    assert read.column("value.age").to_pylist() == [61.5, None]
    assert read.column("native_spacing_mm").to_pylist() == [[3, 1, 1], None]
    write_volumes(tmp_path / "b.arrow", {**columns, "value.age": [61.5, 30]}, META)
    other = VolumeSet(tmp_path / "b.arrow").meta["content_sha256"]
    assert read.meta["content_sha256"] != other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"volume": np.zeros((2, 16, 16, 8), np.uint8)}, r"volume must be uint8 \(2, 16, 16, 16\)"),
        ({"volume": np.zeros((2, 16, 16, 16))}, "volume must be uint8 .*, not float64"),
        ({"mask": np.zeros((2, 16, 16, 16), np.int32)}, "mask must be uint8 .*, not int32"),
        ({"image": [1, 2]}, r"unknown \['image'\]"),
        ({"split": None}, r"missing \['split'\]"),
        ({"group_id": ["g", "g"], "split": ["val", "test"]}, "g is in two splits: val and test"),
    ],
)
def test_columns_that_are_no_volumes_are_refused(tmp_path: Path, changes, says) -> None:
    with pytest.raises(ValueError, match=says):
        write_volumes(tmp_path / "a.arrow", columns_of(**changes), META)


def test_files_of_images_are_no_volumes(tmp_path: Path) -> None:
    images = write_dataset(tmp_path / "a.arrow")
    with pytest.raises(DataError, match="lacks the columns volume_id, volume"):
        VolumeSet(images)


def test_other_volumes_of_a_4d_file_are_counted(tmp_path: Path) -> None:
    four = np.stack([folders.head(), folders.head()[::-1], folders.head()], axis=-1)
    path = tmp_path / "images/a.nii"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(four, np.eye(4)), path)
    cubes = list(own(tmp_path, index=1).read_volumes(tmp_path, volume_size=16, note=print))
    left = [cube for cube in cubes if isinstance(cube, Excluded)]
    assert [cube.image_id for cube in left] == ["a-volume0", "a-volume2"]
    assert len(cubes) == 3
