"""Cross-loss of graded codes, on tasks of which it is known what they have in common."""

import numpy as np
import pytest
import torch

from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.graded_distance import graded_distance
from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.train import train
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.learning.checkpoint import load_tensors, save_tensors
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer.describe import cells_of
from medtaskatlas.transfer.graded import cross_errors, errors, mean_codes, trained_network

# Two that give back the image, two that change it, and one like the first that no training sees.
TASKS = ("deblurring", "denoising_gaussian", "horizontal_flip", "inversion", "denoising_poisson")
UNSEEN = "denoising_poisson"
ENCODER = encoder_of({
    "kind": "taco_graded", "backbone": "resnet10", "width": 8, "stem": 3, "embedding_dim": 8,
    "doing_width": 6, "batch_tasks": 4, "batch_images": 4, "steps": 80, "learning_rate": 0.003,
}).options()  # fmt: skip
OPTIONS = {"encoder": ENCODER, "fitted_pairs": 8, "asked_pairs": 6, "split_seed": 0, "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Pairs, images, weights, and the files of two seeds and of a fold that lacks a task."""
    folder = tmp_path_factory.mktemp("graded")
    bank, paths, images = load_bank(), [], []
    for seed, name in enumerate(("one", "two")):
        images.append(write_dataset(folder / "images" / f"{name}.arrow", n=24, seed=seed))
        for task in TASKS:
            paths.append(folder / "pairs" / task / f"{name}.arrow")
            make_pairs(images[-1], bank[task], paths[-1], pairs_per_cell=20, splits=SPLITS, seed=0)
    known = [path for path in paths if path.parent.name != UNSEEN]
    outs, models = [], []
    for name, pairs, asked in (("all", paths, None), ("fold", known, [UNSEEN])):
        models.append(folder / name / "model.safetensors")
        train(
            pairs, images, models[-1], encoder=OPTIONS["encoder"], seed=0,
            checkpoint=folder / "state.safetensors", threads=1,
        )  # fmt: skip
        trained = sorted({path.parent.name for path in pairs})
        meta = {"run": "r", "encoder": "graded", "seed": 0, "trained_tasks": trained}
        outs.append(models[-1].with_name("graded.safetensors"))
        cross_errors(paths, images, models[-1], outs[-1], targets=asked, meta=meta, **OPTIONS)
    # As if of another seed, whose errors are larger, most of all on targets of their own.
    tensors, facts = load_tensors(outs[0])
    other = {name: value * (1.5 if "error" in name else 2.0) for name, value in tensors.items()}
    for name in ("one.error", "two.error"):
        other[name].diagonal().mul_(1.2)
    outs.insert(1, folder / "other.safetensors")
    save_tensors(outs[1], other, facts | {"seed": 1})
    return folder, paths, images, models, outs


@pytest.fixture(scope="module")
def table(run):
    folder, *_, outs = run
    out = folder / "graded_distance.parquet"
    graded_distance(outs[:2], out, fold_paths=outs[2:], run="r", n_draws=100)
    return read_table(out, "graded_distance", run="r")


def _at(table, dataset="all", *, trained=True):
    own = table[(table["dataset"] == dataset) & (table["target_trained"] == trained)]
    return own.set_index(["source", "target"])


def test_what_does_the_same_is_near_and_directed(table):
    by = _at(table)
    for task in TASKS:
        assert by.loc[(task, task), "estimate"] == 0
        assert by.loc[(task, task), "apart"] == 0
    for target in ("deblurring", UNSEEN):
        far = by.loc[("inversion", target), "estimate"]
        assert by.loc[("denoising_gaussian", target), "estimate"] < far - 0.5
    one, other = ("inversion", "horizontal_flip"), ("horizontal_flip", "inversion")
    assert by.loc[one, "estimate"] != by.loc[other, "estimate"]
    assert by.loc[one, "apart"] == pytest.approx(by.loc[other, "apart"])


def test_numbers_are_those_by_hand(run, table):
    *_, outs = run
    values, apart = [], []
    for path in outs[:2]:
        tensors, facts = load_tensors(path)
        names = list(facts["of"]["one"])
        s, t = names.index("inversion"), names.index("deblurring")
        error, code = tensors["one.error"], tensors["one.code"]
        values.append(float(torch.log(error[s, t] / error[t, t])))
        apart.append(float((code[s] - code[t]).norm()))
    row = _at(table, "one").loc[("inversion", "deblurring")]
    assert row["estimate"] == pytest.approx(np.mean(values), rel=1e-5)
    assert row["seed_sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-5)
    assert row["apart"] == pytest.approx(np.mean(apart), rel=1e-5)
    assert row["note"] == "no interval: one dataset"
    every = _at(table).loc[("inversion", "deblurring")]
    other = _at(table, "two").loc[("inversion", "deblurring")]
    assert every["estimate"] == pytest.approx((row["estimate"] + other["estimate"]) / 2)
    assert every["n_datasets"] == 2


def test_a_target_that_no_training_saw_is_placed_with_its_kin(run, table):
    tensors, facts = load_tensors(run[-1][2])
    asked = list(facts["of"]["one"]).index(UNSEEN)
    known = torch.isfinite(tensors["one.error"]).all(dim=0).nonzero().flatten().tolist()
    assert known == [asked]
    unseen = table[~table["target_trained"]]
    assert set(unseen["target"]) == {UNSEEN}
    assert set(unseen["source"]) == set(TASKS)
    assert set(unseen.loc[~unseen["source_trained"], "source"]) == {UNSEEN}
    by = _at(table, trained=False)["estimate"]
    assert by["denoising_gaussian", UNSEEN] < by["inversion", UNSEEN] - 0.5
    assert by["deblurring", UNSEEN] < by["inversion", UNSEEN] - 0.5


def test_codes_of_other_tasks_carry_nothing(run):
    """Permuted codes must lose what right ones have: own codes are best, kin is near."""
    _, paths, images, models, _ = run
    network = trained_network(encoder_of(ENCODER), models[0]).eval()
    own = [path for path in paths if path.stem == "one"]
    cells = list(cells_of(own, ImageSet(images[0]), 8, 6, 0))
    code = mean_codes(network, cells)
    right = errors(network, cells, code).log()
    mixed = errors(network, cells, code.roll(2, dims=0)).log()
    gaussian, blurred, turned = (
        [cell.task for cell in cells].index(name)
        for name in ("denoising_gaussian", "deblurring", "inversion")
    )

    def kin(found):
        return float(found[turned, gaussian] - found[blurred, gaussian])

    def itself(found):
        others = (found.sum(dim=0) - found.diagonal()) / (len(cells) - 1)
        return float((others - found.diagonal()).mean())

    assert kin(right) > 0.5
    assert itself(right) > 0.5
    assert kin(mixed) < 0
    assert itself(mixed) < 0


def test_files_of_another_run_and_damaged_ones_are_named(run, tmp_path):
    _, paths, images, _, outs = run
    out = tmp_path / "t.parquet"
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        graded_distance(outs[:1], out, run="other")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(outs[0].read_bytes()[:500])
    with pytest.raises(DataError, match=r"broken.safetensors is damaged(.|\n)*delete"):
        graded_distance([broken], out, run="r")
    save_tensors(broken, {}, {"encoder": {"kind": "pixels"}, "seed": 0})
    with pytest.raises(DataError, match="was trained with"):
        cross_errors(paths, images, broken, out, meta={}, **OPTIONS)
    assert not out.exists()
