"""The table `functional_distance` on tasks of which it is known what they have in common."""

import numpy as np
import pytest

from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.functional_distance import functional_distance
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer.describe import choose, describe

TASKS = ("denoising_gaussian", "denoising_poisson", "deblurring", "inversion", "rotation")
DATASETS = ("one", "two")
OPTIONS = {"run": "r", "fitted_pairs": 12, "asked_pairs": 8, "seed": 0, "threads": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    bank, paths, images = load_bank(), {}, {}
    for seed, name in enumerate(DATASETS):
        images[name] = write_dataset(folder / "images" / f"{name}.arrow", n=24, seed=seed)
        paths[name] = []
        for task in TASKS if name == "one" else TASKS[:-1]:
            out = folder / "pairs" / task / f"{name}.arrow"
            make_pairs(images[name], bank[task], out, pairs_per_cell=20, splits=SPLITS, seed=0)
            paths[name].append(out)
    kernels = []
    for name in DATASETS:
        kernels.append(folder / f"{name}.safetensors")
        describe(paths[name], images[name], kernels[-1], **OPTIONS)
    return images, paths, kernels


@pytest.fixture(scope="module")
def table(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "functional_distance.parquet"
    functional_distance(files[2], out, run="r", n_draws=100)
    return read_table(out, "functional_distance", run="r")


def _at(table, dataset="one"):
    return table[table["dataset"] == dataset].set_index(["source", "target"])


def test_a_task_is_at_no_distance_from_itself_and_far_from_what_it_is_not(table):
    by = _at(table)
    for task in TASKS:
        assert by.loc[(task, task), "estimate"] == 0
        assert by.loc[(task, task), "apart"] == 0
        assert by.loc[("inversion", task), "estimate"] >= 0
    far = by.loc[("inversion", "denoising_gaussian"), "estimate"]
    assert by.loc[("denoising_poisson", "denoising_gaussian"), "estimate"] < far
    assert by.loc[("deblurring", "denoising_gaussian"), "estimate"] < far


def test_it_is_directed_and_its_parts_say_why(table):
    by = _at(table)
    one, other = ("inversion", "rotation"), ("rotation", "inversion")
    assert by.loc[one, "estimate"] != by.loc[other, "estimate"]
    assert by.loc[one, "apart"] == by.loc[other, "apart"] > 0
    row = by.loc[one]
    assert row["estimate"] == pytest.approx(np.log(row["error"] / row["own_error"]))
    # Both give back the image itself, whatever was done to it before.
    same = by.loc[("deblurring", "denoising_gaussian")]
    assert same["output_mse"] == 0
    assert same["output_ssim"] == pytest.approx(1)
    assert by.loc[one, "output_mse"] > 0.01


def test_over_datasets_each_counts_alike_and_only_those_that_have_both(table):
    every = _at(table, "all")
    assert len(every) == len(TASKS) ** 2
    assert every.loc[("rotation", "inversion"), "n_datasets"] == 1
    row = every.loc[("inversion", "deblurring")]
    values = [_at(table, d).loc[("inversion", "deblurring"), "estimate"] for d in DATASETS]
    assert row["estimate"] == pytest.approx(np.mean(values))
    assert row["n_datasets"] == 2
    assert row["note"].startswith("no interval: 4 subjects")


def test_maps_are_fitted_to_other_images_than_are_asked(files):
    images, paths, _ = files
    pairs = PairSet(paths["one"][0], ImageSet(images["one"]))
    fitted, asked, different = choose(pairs, 6, 4, seed=0)
    assert different
    assert (len(fitted), len(asked)) == (6, 4)
    split = pairs.numpy("split")
    assert set(split[asked]) == {"test"}
    assert "test" not in set(split[fitted])
    # Spread over images: none comes twice before each has come once.
    assert len(set(pairs.image_row[fitted])) == 6


@pytest.mark.parametrize(("n", "different"), [(9, True), (1, False)])
def test_a_dataset_of_test_images_alone_is_halved_where_it_can_be(tmp_path, n, different):
    image = write_dataset(tmp_path / "test.arrow", n=n, more={"split": ["test"] * n})
    out = tmp_path / "pairs" / "test.arrow"
    make_pairs(image, load_bank()["inversion"], out, pairs_per_cell=12, splits=SPLITS, seed=0)
    pairs = PairSet(out, ImageSet(image))
    fitted, asked, apart = choose(pairs, 40, 20, seed=0)
    assert apart == different
    shared = set(pairs.image_row[fitted]) & set(pairs.image_row[asked])
    assert bool(shared) != different


def test_files_of_another_run_and_damaged_ones_are_named(files, tmp_path):
    out = tmp_path / "t.parquet"
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        functional_distance(files[2], out, run="other")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(files[2][0].read_bytes()[:500])
    with pytest.raises(DataError, match=r"broken.safetensors is damaged(.|\n)*delete"):
        functional_distance([broken], out, run="r")
    with pytest.raises(DataError, match=r"missing\.safetensors"):
        functional_distance([tmp_path / "missing.safetensors"], out, run="r")
    assert not out.exists()
