from __future__ import annotations

import hashlib
import re

import pytest
import yaml

from generated import SPLITS as SHARES
from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.catalogue import CATALOGUE, dataset_from_entry, load_catalogue
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.remote.urls import in_mirror
from medtaskatlas.datasets.sources import SOURCES
from medtaskatlas.datasets.sources.npz import SIZES, NpzDataset
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.run.plan import plan_run

MIRROR = REPOSITORY.parent / "shared" / "mirror"

# Counts of the package medmnist 3.0.2; the number of labels is the publisher's.
MEDMNIST = {
    "pathmnist": (9, 89996, 10004, 7180),
    "chestmnist": (15, 78468, 11219, 22433),
    "dermamnist": (7, 7007, 1003, 2005),
    "octmnist": (4, 97477, 10832, 1000),
    "pneumoniamnist": (2, 4708, 524, 624),
    "retinamnist": (5, 1080, 120, 400),
    "breastmnist": (2, 546, 78, 156),
    "bloodmnist": (8, 11959, 1712, 3421),
    "tissuemnist": (8, 165466, 23640, 47280),
    "organamnist": (11, 34561, 6491, 17778),
    "organcmnist": (11, 12975, 2392, 8216),
    "organsmnist": (11, 13932, 2452, 8827),
    "organmnist3d": (11, 971, 161, 610),
    "nodulemnist3d": (2, 1158, 165, 310),
    "adrenalmnist3d": (2, 1188, 98, 298),
    "fracturemnist3d": (3, 1027, 103, 240),
    "vesselmnist3d": (2, 1335, 191, 382),
    "synapsemnist3d": (2, 1230, 177, 352),
}
# Foreground classes and counts of some sets of the package medsegbench 1.0.0.
MEDSEGBENCH = {
    "drive": (1, 18, 2, 20),
    "idrib": (4, 47, 6, 27),
    "bkai_igh": (2, 700, 100, 200),
    "covid19radio": (1, 14814, 2115, 4236),
    "monusac": (5, 188, 21, 101),
    "abdomenus": (8, 569, 64, 293),
    "m2caiseg": (18, 245, 307, 62),
}


@pytest.fixture(scope="module")
def everything():
    return load_catalogue()


@pytest.fixture(scope="module")
def published(everything) -> dict[str, NpzDataset]:
    return {name: d for name, d in everything.items() if isinstance(d, NpzDataset)}


def counts(dataset: NpzDataset) -> tuple[int, ...]:
    return tuple(dataset.samples[split] for split in ("train", "val", "test"))


def test_eighteen_and_thirty_five_sets(published):
    sources = [d.source for d in published.values()]
    assert (sources.count("medmnist"), sources.count("medsegbench")) == (18, 35)
    assert all(d.source == d.layout for d in published.values())
    assert {n for n, d in published.items() if d.dimensions == 3} == {
        name for name in MEDMNIST if name.endswith("3d")
    }


def test_counts_are_the_publishers(published):
    assert {
        name: (len(d.labels), *counts(d)) for name, d in published.items() if d.source == "medmnist"
    } == MEDMNIST
    assert {
        name: (len(published[name].classes), *counts(published[name])) for name in MEDSEGBENCH
    } == MEDSEGBENCH


def test_every_size_has_a_file_of_its_own(published):
    files = [(d, side, file) for d in published.values() for side, file in d.files.items()]
    assert len(files) == 12 * 4 + 6 * 2 + 35 * 3
    assert len({file.url for _, _, file in files}) == len(files)
    assert len({file.md5 for _, _, file in files}) == len(files)
    for dataset, side, file in files:
        # The publisher's name of a set may have a hyphen, and 28 px go without saying.
        suffix = "" if side == 28 else f"_{side}"
        assert file.name.replace("-", "_") == f"{dataset.name}{suffix}.npz"
        assert re.match(r"https://zenodo\.org/records/\d+/files/", file.url)
    assert {d.name: set(d.files) for d in published.values()} == {
        d.name: SIZES[d.layout, d.dimensions] for d in published.values()
    }


@pytest.mark.parametrize(
    ("name", "image_size", "side"),
    [
        ("retinamnist", 16, 28),
        ("retinamnist", 28, 28),
        ("retinamnist", 29, 64),
        ("retinamnist", 128, 128),
        ("retinamnist", 512, 224),
        ("adrenalmnist3d", 128, 64),
        ("drive", 64, 128),
        ("drive", 256, 256),
        ("drive", 1024, 512),
    ],
)
def test_file_for_takes_the_smallest_that_is_large_enough(published, name, image_size, side):
    assert published[name].file_for(image_size) == (side, published[name].files[side])


def test_annotation_arrays_have_the_names_of_the_layout(published):
    assert published["retinamnist"].annotation_arrays("val") == ["val_labels"]
    assert published["drive"].annotation_arrays("test") == ["test_label"]
    # Subsets of the images are not annotations of them.
    assert published["busi"].annotation_arrays("train") == ["train_label"]
    lesions = published["idrib"]
    assert dict(zip(lesions.annotation_arrays("train"), lesions.classes.values(), strict=True)) == {
        "train_label_C1": "microaneurysms",
        "train_label_C2": "hemorrhages",
        "train_label_C3": "hard exudates",
        "train_label_C4": "optic disc",
    }


def test_several_findings_have_a_name_for_none(published):
    chest = published["chestmnist"]
    assert [d.name for d in published.values() if d.label_kind == "multi_label"] == ["chestmnist"]
    assert (chest.labels[0], chest.labels[1], chest.labels[-1]) == (
        "no finding",
        "atelectasis",
        "hernia",
    )
    assert "null" in chest.annotation_note


def test_colour_is_promised_where_there_is_some(published):
    grey = {n for n, d in published.items() if d.channels == 3 and "colour" not in d.provides}
    assert grey == {"cellnuclei", "cystoidfluid", "mosmedplus"}
    assert not [n for n, d in published.items() if d.channels == 1 and "colour" in d.provides]


def test_splits_by_patient_are_those_documented(published):
    assert {n for n, d in published.items() if d.group_source == "published"} == {
        "organamnist",
        "organcmnist",
        "organsmnist",
        "organmnist3d",
        "adrenalmnist3d",
        "fracturemnist3d",
    }
    assert {d.group_source for d in published.values()} == {"published", "unknown"}


def test_licences_without_an_spdx_id_are_explained(published):
    header = (CATALOGUE / "medsegbench.yaml").read_text().split("\n\n", 1)[0]
    own = {d.name: d for d in published.values() if d.licence.startswith("LicenseRef-")}
    assert {d.source for d in own.values()} == {"medsegbench"}
    for dataset in own.values():
        kind = dataset.licence
        if kind.startswith("LicenseRef-unknown-"):
            assert kind == f"LicenseRef-unknown-{dataset.name.replace('_', '-')}"
            kind = "LicenseRef-unknown-*"
        assert kind in header
        assert dataset.licence_note
    assert "forbidden" in published["kvasir"].licence_note


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("dermamnist", {"isic2016", "isic2018", "ham10000"}),
        ("isic2016", {"dermamnist", "isic2018", "ham10000"}),
        ("breastmnist", {"busi"}),
        ("organmnist3d", {"organamnist", "organcmnist", "organsmnist"}),
        ("cellnuclei", {"nuset"}),
        ("covid19radio", {"chestmnist", "pneumoniamnist", "covidquex"}),
        # From the same publication as pneumoniamnist, but other images.
        ("octmnist", set()),
    ],
)
def test_overlaps(everything, name, others):
    assert set(everything[name].overlaps) == others
    assert all(name in everything[other].overlaps for other in others)


def test_an_entry_survives_the_way_through_a_rule(published):
    for dataset in published.values():
        assert dataset_from_entry(dataset.model_dump()) == dataset
    assert SOURCES["npz"] is NpzDataset


def mirrored() -> list[tuple[str, int]]:
    """Dataset and side of the files of the catalogue that lie in the mirror, however many."""
    return [
        (name, side)
        for name, dataset in (load_catalogue() if MIRROR.is_dir() else {}).items()
        if isinstance(dataset, NpzDataset)
        for side, file in dataset.files.items()
        if in_mirror(file.url, str(MIRROR)).is_file()
    ]


needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is absent")


@needs_mirror
@pytest.mark.parametrize(("name", "side"), mirrored())
def test_mirrored_files_are_those_of_the_catalogue(published, name, side):
    file = published[name].files[side]
    content = in_mirror(file.url, str(MIRROR)).read_bytes()
    assert hashlib.md5(content).hexdigest() == file.md5
    # The publisher states no size: a file that came later may have none in the catalogue yet.
    assert file.bytes in (None, len(content))


@needs_mirror
@pytest.mark.parametrize(("name", "side"), mirrored())
def test_mirrored_files_are_fetched_and_prepared(tmp_path, published, name, side):
    dataset, raw = published[name], tmp_path / "raw"
    fetch(dataset, raw, image_size=side, mirror=str(MIRROR))
    out = tmp_path / f"{name}.arrow"
    prepare(dataset, raw, out, image_size=side, splits=SHARES, seed=0, limit=200)
    images = ImageSet(out)
    assert 0 < len(images) <= 200
    assert images.images.shape[1:3] == (side, side)
    assert set(images.numpy("split")) == {"train", "val", "test"}
    assert set(images.numpy("label").tolist()) == set(range(len(dataset.labels)))
    in_all = sum(dataset.samples.values())
    assert images.meta["quality"]["found"] == in_all * (side if dataset.dimensions == 3 else 1)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("retinamnist", {28: 3291041}),
        ("breastmnist", {28: 559580}),
        ("pneumoniamnist", {28: 4170669}),
        ("adrenalmnist3d", {28: 276833, 64: 1880591}),
        ("vesselmnist3d", {28: 398349, 64: 2653988}),
    ],
)
def test_sizes_that_are_known_are_in_the_catalogue(published, name, sides):
    files = published[name].files
    assert {side: file.bytes for side, file in files.items() if file.bytes} == sides


def change_files(**keys):
    return lambda e: e["files"][28].update(keys)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("retinamnist", change_files(md5="ABC"), r"retinamnist\.files\.28\.md5: .*'ABC'"),
        (
            "retinamnist",
            change_files(url="http://a.org/b.npz"),
            r"files\.28\.url: .*'http://a\.org",
        ),
        ("retinamnist", change_files(url="https://a.org/b.zip"), r"retinamnist: .*end in \.npz"),
        ("retinamnist", change_files(sha1="00"), r"retinamnist\.files\.28\.sha1"),
        ("retinamnist", lambda e: e["files"].pop(64), r"sizes \[28, 64, 128, 224\], not \[28, 12"),
        ("retinamnist", lambda e: e["samples"].update(val=0), r"retinamnist\.samples\.val: .*0"),
        ("retinamnist", lambda e: e["samples"].pop("val"), r"`samples` must count train, val, te"),
        ("retinamnist", lambda e: e.update(channels=4), r"retinamnist\.channels: .*4"),
        ("retinamnist", lambda e: e.update(label_kind="binary"), r"binary and 5 `labels`"),
        ("retinamnist", lambda e: e.update(label_kind="none"), r"medmnist goes with `label_kind`"),
        ("retinamnist", lambda e: e.update(layout="medsegbench"), r"`files` must have the sizes"),
        ("drive", lambda e: e.update(dimensions=3), r"medsegbench has no sets of 3 dimensions"),
        ("drive", lambda e: e.update(masks="values"), r"`masks` values and 1 `classes`"),
        ("idrib", lambda e: e["categories"].pop("C2"), r"`classes` as `categories`, in order"),
    ],
)
def test_broken_entry_names_file_and_key(tmp_path, name, change, says):
    source = "medmnist" if name in MEDMNIST else "medsegbench"
    entry = yaml.safe_load((CATALOGUE / f"{source}.yaml").read_text())[name]
    change(entry)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({name: entry}))
    with pytest.raises(ConfigError, match=says) as caught:
        load_catalogue(tmp_path)
    assert str(tmp_path / "mine.yaml") in caught.value.problem
    assert name in caught.value.problem


def test_public_run():
    raw = yaml.safe_load((REPOSITORY / "config" / "public.yaml").read_text())
    plan = plan_run(raw)
    assert len(plan.datasets) == 53
    assert {d.source for d in plan.datasets.values()} == {"medmnist", "medsegbench"}
    taco = plan.config.encoders["taco"]
    assert (taco.backbone, taco.width, plan.config.image_size) == ("resnet50", 64, 224)
    # No image of what is held out is trained on under another name.
    assert "busi" in plan.heldout
    assert "busi" not in plan.config.heldout.datasets
    trained = set(plan.datasets) - set(plan.heldout)
    assert not [n for n in trained if set(plan.datasets[n].overlaps) & set(plan.heldout)]
    # Whole modalities are kept back, and of the others each has something to learn from.
    modalities = {d.modality for d in plan.datasets.values()}
    assert modalities - {plan.datasets[n].modality for n in trained} == {"OCT", "PHOTO"}
