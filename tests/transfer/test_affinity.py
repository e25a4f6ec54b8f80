"""Affinity: which trainings there are, that they share what they must, and what comes of it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.affinity import task_affinity
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.parquet import read_parquet, write_parquet
from medtaskatlas.networks.unet import UNet
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer import affinity as module
from medtaskatlas.transfer.affinity import train_together
from medtaskatlas.transfer.learning import COLUMNS
from medtaskatlas.transfer.options import SCRATCH, SHUFFLED, Affinity

# Two names of one task, each with noise of its own.
TASKS = ("denoising_gaussian", "twin")
OPTIONS = Affinity(
    width=4, steps=4, pairs=4, asked_pairs=8, batch_size=4, learning_rate=0.01, tasks="all"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images, and pairs of both tasks."""
    folder = tmp_path_factory.mktemp("affinity")
    images = write_dataset(folder / "images" / "one.arrow", n=12, side=16)
    paths = []
    for turn, task in enumerate(TASKS):
        paths.append(folder / "pairs" / task / "one.arrow")
        noise = load_bank()["denoising_gaussian"]
        make_pairs(images, noise, paths[-1], pairs_per_cell=12, splits=SPLITS, seed=turn)
    return folder, images, paths


def train(files, out, **more):
    folder, images, paths = files
    given = {"options": OPTIONS, "seed": 0, "state": folder / "state.safetensors"} | more
    train_together(paths, images, out, run="r", split_seed=0, threads=1, **given)
    return read_parquet(out)[0].to_pandas()


@pytest.fixture(scope="module")
def run(files):
    out = files[0] / "affinity" / "one" / "seed0.parquet"
    return out, train(files, out)


def test_every_pair_and_control_is_asked_about_the_same_pairs(run, files):
    path, frame = run
    facts = read_parquet(path)[1]
    assert (facts["protocol"], facts["seed"]) == ("affinity", 0)
    for _, own in frame.groupby("target"):
        assert set(own["source"]) == {SCRATCH, SHUFFLED, *TASKS}
        assert own.groupby("source")["pair_id"].apply(tuple).nunique() == 1
    assert np.isfinite(frame["error"]).all()
    assert not list(files[0].glob("state*"))


def test_a_job_that_was_cut_off_ends_with_the_same_errors(files, tmp_path, monkeypatch):
    quick = OPTIONS.model_copy(update={"steps": 2})
    whole = train(files, tmp_path / "whole.parquet", options=quick)
    fit, begun = module.fit, []

    def cut_off(*args, **more):
        begun.append(more["title"])
        if len(begun) == 3:
            raise SystemExit(143)
        return fit(*args, **more)

    monkeypatch.setattr(module, "fit", cut_off)
    with pytest.raises(SystemExit):
        train(files, tmp_path / "again.parquet", options=quick)
    assert not (tmp_path / "again.parquet").exists()
    pd.testing.assert_frame_equal(train(files, tmp_path / "again.parquet", options=quick), whole)
    assert len(begun) == 3 + 5


def test_a_task_alone_and_with_another_begins_with_the_same_network():
    alone, both = (
        module._network(heads, OPTIONS, 0) for heads in (["twin"], ["twin", "inversion"])
    )
    mine = both.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in alone.state_dict().items())
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        done = both({"twin": pictures, "inversion": pictures + 0.1})
        torch.testing.assert_close(done["twin"], alone.of("twin")(pictures))
    network = UNet(OPTIONS.width)
    network.encoder, network.decoder = alone.encoder, alone.heads["twin"]
    torch.testing.assert_close(network(pictures), alone.of("twin")(pictures))


def write_errors(path, seed, dataset, errors, *, run="r"):
    """A file of one dataset: the mean error of each (target, partner), around which pairs lie."""
    rows = []
    for (target, source), mean in errors.items():
        rng = np.random.default_rng(seed)
        rows += [
            {
                "source": source,
                "target": target,
                "dataset": dataset,
                "start": 0,
                "n_learned": 4,
                **dict.fromkeys(COLUMNS, f"{dataset}{i}"),
                "error": mean * spread,
            }
            for i, spread in enumerate(rng.uniform(0.9, 1.1, 12))
        ]
    facts = {"run": run, "seed": seed, "protocol": "affinity"}
    write_parquet(path, pa.Table.from_pylist(rows), facts)
    return path


@pytest.fixture
def made_up(tmp_path):
    """Errors by hand: b helps a by a quarter, a harms b; c is on one dataset alone."""
    paths = []
    for dataset in ("one", "two"):
        errors = {
            **{("a", SCRATCH): 0.04, ("a", "b"): 0.03, ("a", "a"): 0.02, ("a", SHUFFLED): 0.04},
            **{("b", SCRATCH): 0.01, ("b", "a"): 0.05, ("b", "b"): 0.01, ("b", SHUFFLED): 0.02},
        }
        if dataset == "two":
            errors |= {("a", "c"): 0.04, ("c", SCRATCH): 0.02, ("c", "a"): 0.01}
        for seed in (0, 1, 2):
            path = tmp_path / dataset / f"seed{seed}.parquet"
            path.parent.mkdir(exist_ok=True)
            paths.append(write_errors(path, seed, dataset, errors))
    return paths


def test_the_table_is_that_by_hand(made_up, tmp_path):
    out = tmp_path / "task_affinity.parquet"
    families = dict.fromkeys("abc", "semantic")
    task_affinity(made_up, out, run="r", families=families, n_draws=100)
    table = read_table(out, "task_affinity", run="r")
    assert set(table["protocol"]) == {"affinity"}
    by = table[table["seed"].isna()].set_index(["dataset", "target", "source"]).sort_index()
    assert by.loc[("all", "a", "b"), "estimate"] == pytest.approx(0.25)
    assert by.loc[("all", "b", "a"), "estimate"] == -1
    assert by.loc[("all", "a", "a"), "source_role"] == "itself"
    assert by.loc[("all", "a", SHUFFLED), "source_role"] == "shuffled"
    assert by.loc[("all", "a", SHUFFLED), "estimate"] == pytest.approx(0, abs=1e-9)
    assert by.loc[("all", "a")]["estimate"].idxmax() == "a"
    # Both are on one dataset only, so there is no mean over several.
    assert by.loc[("two", "c", "a"), "estimate"] == pytest.approx(0.5)
    assert ("all", "c", "a") not in by.index
    row = by.loc[("one", "a", "b")]
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    assert (row["n_pairs"], row["n_datasets"]) == (12, 1)
    assert row["error"] / row["scratch_error"] == pytest.approx(0.75)
    assert set(table["seed"].dropna()) == {0, 1, 2}


def test_what_does_not_fit_is_named(made_up, tmp_path):
    out, families = tmp_path / "t.parquet", dict.fromkeys("abc", "semantic")
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        task_affinity(made_up, out, run="other", families=families)
    made_up[0].write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"one.seed0\.parquet"):
        task_affinity(made_up, out, run="r", families=families)
    write_errors(made_up[0], 0, "one", {("a", SCRATCH): 0.04, ("a", "b"): 0.03})
    with pytest.raises(DataError, match="transfer of a: a on one is not of both seeds 0, 1"):
        task_affinity(made_up, out, run="r", families=families)
