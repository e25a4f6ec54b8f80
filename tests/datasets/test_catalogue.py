from __future__ import annotations

import re
import subprocess
import sys
from typing import Literal, get_args

import numpy as np
import pytest
import yaml

from generated import SPLITS
from medtaskatlas.core.errors import ConfigError
from medtaskatlas.datasets.catalogue import (
    CATALOGUE,
    dataset_from_entry,
    listing,
    load_catalogue,
)
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.datasets.pin import pin
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.sources import SOURCES
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.run.config import parse_config
from medtaskatlas.run.selection import heldout_datasets, select_datasets, with_own
from medtaskatlas.tasks.task import NEEDS


def config(**keys):
    return parse_config({"run": "t", "datasets": "all", "encoders": {"pixels": {}}, **keys})


def test_breadth(catalogue):
    assert len(catalogue) >= 10
    assert len({d.modality for d in catalogue.values()}) >= 6
    assert sum(d.annotation == "derived" for d in catalogue.values()) <= 4


def test_provides_speaks_the_language_of_tasks():
    (literal,) = get_args(Dataset.model_fields["provides"].annotation)
    assert set(get_args(literal)) == set(NEEDS) - {"objects"}


def test_hashes_are_those_of_the_installed_packages():
    text = (CATALOGUE / "embedded.yaml").read_text()
    assert pin(text) == text


def test_import_is_light():
    code = "import medtaskatlas.datasets.catalogue, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pandas", "pyarrow", "cv2", "torch"} & set(loaded.stdout.split())


def broken(tmp_path, change):
    entries = yaml.safe_load((CATALOGUE / "embedded.yaml").read_text())
    change(entries)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(entries))
    with pytest.raises(ConfigError) as caught:
        load_catalogue(tmp_path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("modality", "MRI", r"mine\.yaml: ct_dicom\.modality: .*'MRI'"),
        ("licence", None, r"ct_dicom\.licence"),
        ("colour", True, r"ct_dicom\.colour"),
        ("reader", "packagd", r"ct_dicom\.reader: 'packagd'.*\n.*did you mean packaged"),
        ("overlaps", ["mr_dico"], r"ct_dicom\.overlaps .*\n.*did you mean mr_dicom"),
        ("classes", {1: "bone", 2: "fat"}, r"provides"),
        ("annotation", "ground_truth", r"derived"),
        ("group_note", 3, r"ct_dicom\.group_note"),
    ],
)
def test_bad_entry_names_file_and_key(tmp_path, key, value, says):
    assert re.search(says, broken(tmp_path, lambda e: e["ct_dicom"].update({key: value})))


def test_files_and_recipe_agree(tmp_path):
    text = broken(tmp_path, lambda e: e["ct_dicom"]["files"].pop())
    assert "CT_small.dcm" in text


def test_bad_yaml_names_the_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml is not YAML"):
        load_catalogue(tmp_path)


class Striped(Dataset):
    """A source as somebody would add it: keys, files and pictures in one class."""

    reader: Literal["striped"]
    stripes: int

    def fetch(self, folder, **_):
        (folder / "width.txt").write_text("7")
        return [self.manifest_entry(folder, "width.txt", "made up")]

    def read(self, folder, **_):
        width = int((folder / "width.txt").read_text())
        for i in range(self.stripes):
            pixels = np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)
            pixels[:, :width] = 10
            yield Frame(pixels, f"s{i}", f"s{i}", "published")


def test_a_source_is_one_class_and_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "striped", Striped)
    about = dict.fromkeys(("title", "body_part", "licence", "citation", "group_note"), "none")
    entry = {**about, "source": "mine", "modality": "US", "annotation": "none"}
    entry |= {"reader": "striped", "stripes": 5}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"stripes": entry}))
    (dataset,) = load_catalogue(tmp_path).values()
    assert listing([dataset], tmp_path)[1][0][3:7] == ["-", "none", "none", "no"]
    dataset = dataset_from_entry(dataset.model_dump(mode="json"))
    raw = tmp_path / dataset.raw_folder(16)
    fetch(dataset, raw)
    assert dataset.fetched(tmp_path / "data") == "yes"
    prepare(dataset, raw, tmp_path / "s.arrow", image_size=16, splits=SPLITS, seed=0)
    images = ImageSet(tmp_path / "s.arrow")
    assert len(images) == 5
    assert (images.images[:, :, :7] == 10).all()


def test_select_all_names_and_filter(catalogue):
    assert select_datasets(config(), catalogue) == (list(catalogue), [])
    names = ["xr_leg", "ct_dicom"]
    assert select_datasets(config(datasets=names), catalogue)[0] == names
    chosen, _ = select_datasets(
        config(datasets={"modality": ["MR"], "annotation": ["ground_truth"]}), catalogue
    )
    assert chosen == ["mni152_tissue", "mni152_regions"]


def test_select_mistakes(catalogue):
    with pytest.raises(ConfigError, match="did you mean ct_dicom"):
        select_datasets(config(datasets=["ct_dicm"]), catalogue)
    with pytest.raises(ConfigError, match="named twice"):
        select_datasets(config(datasets=["ct_dicom", "ct_dicom"]), catalogue)
    with pytest.raises(ConfigError, match=r"datasets\.modality.*'XRAY'"):
        select_datasets(config(datasets={"modality": ["XRAY"]}), catalogue)
    with pytest.raises(ConfigError, match="leave no dataset"):
        select_datasets(config(licences=["MIT"]), catalogue)


def test_licences_say_what_they_leave_out(catalogue):
    chosen, messages = select_datasets(config(licences=["CC0-1.0", "LicenseRef-ICBM"]), catalogue)
    assert set(chosen) == {"fundus_retina", "cell_light", "mni152_tissue"}
    assert len(messages) == len(catalogue) - len(chosen)
    assert any("ct_dicom" in m and "CC-BY-NC-SA-4.0" in m for m in messages)


def test_heldout_takes_overlaps_along(catalogue):
    chosen = ["mni152_regions", "ct_dicom", "mni152_tissue"]
    held, messages = heldout_datasets(
        config(heldout={"datasets": ["mni152_tissue"]}), chosen, catalogue
    )
    assert held == ["mni152_regions", "mni152_tissue"]
    assert messages == ["held out mni152_regions as well: it overlaps mni152_tissue"]


def test_heldout_mistakes(catalogue):
    with pytest.raises(ConfigError, match="not among"):
        heldout_datasets(config(heldout={"datasets": ["xr_leg"]}), ["ct_dicom"], catalogue)
    with pytest.raises(ConfigError, match="every dataset"):
        heldout_datasets(config(heldout={"datasets": ["xr_leg"]}), ["xr_leg"], catalogue)


def test_own_datasets_join_the_catalogue(catalogue):
    own = {
        "mine": catalogue["xr_leg"].model_copy(
            update={"name": "mine", "overlaps": ["xr_leg", "far_away"]}
        )
    }
    known, messages = with_own(catalogue, own)
    assert known["xr_leg"].overlaps == ["mine"]
    assert known["mine"].overlaps == ["xr_leg"]
    assert catalogue["xr_leg"].overlaps == [], "the catalogue itself stays as it is"
    assert messages == ["mine: `overlaps` names far_away, which is no known dataset"]
    assert select_datasets(config(datasets=["ct_dicom"]), known, ["mine"])[0] == [
        "ct_dicom",
        "mine",
    ]
    with pytest.raises(ConfigError, match=r"'ct_dicom' is the name of a dataset of the catalogue"):
        with_own(catalogue, {"ct_dicom": own["mine"]})


def test_holding_out_closes_over_own_overlaps_and_warns_of_others(catalogue):
    own = {"mine": catalogue["xr_leg"].model_copy(update={"name": "mine", "overlaps": ["xr_leg"]})}
    known, _ = with_own(catalogue, own)
    chosen = ["xr_leg", "mine", "ct_dicom"]
    held, messages = heldout_datasets(config(heldout={"datasets": ["mine"]}), chosen, known)
    assert held == ["xr_leg", "mine"]
    assert messages == ["held out xr_leg as well: it overlaps mine"]
    held, messages = heldout_datasets(config(), chosen, known)
    assert held == []
    assert "caution: xr_leg and mine share images" in messages[0]
