"""Steps and costs of arms."""

import pandas as pd
import pyarrow as pa
import pytest

from medtaskatlas.atlas.medformer.convergence import medformer_convergence, steps_to_reach
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask_training import write_cost, write_history
from medtaskatlas.learning.cost import Cost

ARMS = {
    "single": {"start": "scratch"},
    "ssl": {"start": "unlabelled"},
    "ssl_multi": {"start": "unlabelled"},
    "after": {"start": "ssl_multi"},
    "pixels": {"start": "scratch"},
}


def cost(seconds, steps=100):
    return vars(Cost(steps=steps, cpu_seconds=seconds, images=steps * 8))


def training(folder, arm, scores, *, name="one", seed=0, own=10.0, before=None, steps=100):
    """Files of a training whose look after each tenth step scores something."""
    place = folder / "medformer" / name / arm / "labels100" / f"seed{seed}"
    place.mkdir(parents=True)
    write_cost(
        place / "cost.json", total=cost(own, steps), trainings=[], tuning=cost(0, 0),
        pretraining=None if before is None else cost(before, 40),
    )  # fmt: skip
    looks = [None] * (10 * len(scores))
    looks[9::10] = scores
    n = range(len(looks))
    table = pa.table(
        {"step": n, "loss": [1.0] * len(looks), "val_score": pa.array(looks, pa.float64())}
    )
    write_history(place / "history.parquet", [(["one.label"], -1, table)], {"arm": arm})
    return place


def convergence(folder):
    """The table, of all trainings in a folder."""
    out = folder / "medformer_convergence.parquet"
    files = {name: sorted(folder.rglob(name)) for name in ("cost.json", "history.parquet")}
    medformer_convergence(files["cost.json"], files["history.parquet"], out, run="r", arms=ARMS)
    return read_table(out, "medformer_convergence")


def chosen(table, **columns):
    for column, value in columns.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    (row,) = table.to_dict("records")
    return row


def test_steps_are_those_of_the_first_look_near_the_best(tmp_path):
    place = training(tmp_path, "single", [0.5, 0.75, 0.77, 0.8, 0.6])
    assert steps_to_reach(place / "history.parquet") == 30  # .95 of .8 is .76


def test_seeds_are_averaged_with_their_spread(tmp_path):
    training(tmp_path, "single", [0.5, 0.8, 0.8], seed=0, own=10)
    training(tmp_path, "single", [0.5, 0.5, 0.5, 0.8], seed=1, own=30)
    table = convergence(tmp_path)
    row = chosen(table, measure="steps_to_95", seed=None)
    assert (row["estimate"], row["n_seeds"]) == (30, 2)
    assert row["seed_sd"] == pytest.approx(200**0.5)
    assert "first look" in row["note"]
    assert chosen(table, measure="cpu_seconds", part="training", seed=None)["estimate"] == 20
    assert chosen(table, measure="cpu_seconds", part="training", seed=1)["estimate"] == 30
    assert chosen(table, measure="cpu_seconds", part="total", seed=None)["of_total"] == 1


def test_pre_training_has_its_share_of_the_total(tmp_path):
    training(tmp_path, "ssl", [0.8], own=10, before=30)
    table = convergence(tmp_path)
    parts = {p: chosen(table, measure="cpu_seconds", part=p, seed=None)
             for p in ("training", "pretraining", "total")}  # fmt: skip
    assert [parts[p]["estimate"] for p in parts] == [10, 30, 40]
    assert [parts[p]["of_total"] for p in parts] == [0.25, 0.75, 1]
    assert chosen(table, measure="steps", part="total", seed=None)["estimate"] == 140


def test_what_an_arm_starts_from_may_have_been_pre_trained_itself(tmp_path):
    training(tmp_path, "ssl_multi", [0.8], name="all_sets", own=20, before=50)
    training(tmp_path, "after", [0.8], own=10, before=20)
    row = chosen(convergence(tmp_path), arm="after", measure="cpu_seconds", part="pretraining",
                 seed=None)  # fmt: skip
    assert row["estimate"] == 70
    assert (
        chosen(convergence(tmp_path), arm="ssl_multi", measure="steps_to_95", seed=0)["set"]
        == "all"
    )


def test_what_trains_no_network_has_no_steps_and_no_measured_cost(tmp_path):
    training(tmp_path, "pixels", [], steps=0, own=0)
    table = convergence(tmp_path)
    assert table["estimate"].isna().all()
    assert table["note"].str.len().gt(0).all()
    assert "no network" in chosen(table, measure="cpu_seconds", seed=None)["note"]


def test_files_elsewhere_or_of_something_else_are_named(tmp_path):
    place = training(tmp_path, "single", [0.8])
    (tmp_path / "astray").mkdir()
    (place / "cost.json").rename(tmp_path / "astray" / "cost.json")
    with pytest.raises(DataError, match=r"astray/cost.json lies in no folder medformer/"):
        convergence(tmp_path)
    (tmp_path / "astray" / "cost.json").rename(place / "cost.json")
    pd.DataFrame({"step": [0], "loss": [1.0]}).to_parquet(place / "history.parquet")
    with pytest.raises(DataError, match=r"history.parquet holds no history of an arm"):
        convergence(tmp_path)
