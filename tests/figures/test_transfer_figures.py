"""Figures of transfer: whole files from made tables, and what is not there is said."""

import numpy as np
import pandas as pd
import pytest
from transfer_synthetic import TASKS, distances, write_tables
from whole import refuses_a_bad_table, text_of

from medtaskatlas.atlas.transfer.prediction import transfer_prediction as predict
from medtaskatlas.atlas.transfer.predictors import transfer_predictors
from medtaskatlas.figures.transfer import gains, graph, parts, prediction

FEW = dict(list(TASKS.items())[::2])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of a run; the gains under both names that a run may have them by."""
    folder = tmp_path_factory.mktemp("tables")
    paths = write_tables(folder, truth=distances(tasks=FEW), tasks=FEW)
    names = ("transfer_predictors", "transfer_prediction")
    paths |= {name: folder / f"{name}.parquet" for name in names}
    transfer_predictors(
        paths["functional_distance"], paths["datasets"], [], paths[names[0]], run="r",
        training_datasets={task: ["ct_a"] for task in FEW}, gains_path=paths["transfer_gains"],
    )  # fmt: skip
    measured = {"gains_path": paths["transfer_gains"], "n_permutations": 19}
    predict(paths[names[0]], paths[names[1]], run="r", **measured)
    return paths


def _drawing(tables, name, **others):
    measured = {
        "table": tables["transfer_gains"], "functional": tables["functional_distance"]
    }  # fmt: skip
    scored = {"table": tables["transfer_prediction"]}
    draw, arguments = {
        "gains": (gains.transfer_gains, measured),
        "graph": (graph.transfer_graph, measured),
        "prediction": (
            prediction.transfer_prediction, scored | {"predictors": tables["transfer_predictors"]}
        ),
        "regret": (prediction.transfer_regret, scored),
    }[name]  # fmt: skip
    return lambda svg, png: draw(svg=svg, png=png, **arguments | others)


WORDS = {
    "gains": ["Warm starts", "mean over datasets; 9 subjects", "us c, held out", "untrained",
              "shuffled outputs", "segmentation", "order: tree of the functional distance"],
    "graph": ["Warm starts", "arrow", "of 6 targets", "family of the source"],
    "prediction": ["Kernel, warm starts", "Output MSE, warm starts", "rank correlation", "30 cells",
                   "held-out datasets", "of two families"],
    "regret": ["6 targets, 6 sources", "output MSE", "static ranker", "control: kernel, shuffled",
               "gains of another seed", "gains on another dataset", "a source drawn at random"],
}  # fmt: skip
EMPTY = {
    "gains": "no gain was measured",
    "graph": "no gain of a source",
    "prediction": "no gain was predicted",
    "regret": "no source was chosen",
}


@pytest.mark.parametrize("name", WORDS)
def test_a_figure_is_whole_and_the_same_twice(tables, tmp_path, name):
    text_of(_drawing(tables, name), tmp_path, WORDS[name])


@pytest.mark.parametrize("name", EMPTY)
def test_what_is_not_there_is_said(tables, tmp_path, name):
    path = tmp_path / "empty.parquet"
    frame = pd.read_parquet(_table(tables, name))
    frame.iloc[:0].to_parquet(path)
    text_of(_drawing(tables, name, table=path), tmp_path, [EMPTY[name]])


@pytest.mark.parametrize("name", EMPTY)
def test_a_bad_table_is_named(tables, tmp_path, name):
    path = tmp_path / "bad.parquet"
    refuses_a_bad_table(_drawing(tables, name, table=path), path)


def _table(tables, name):
    return tables["transfer_gains" if name in ("gains", "graph") else "transfer_prediction"]


def test_arrows_are_of_the_best_sources_whose_interval_is_above_0(tables):
    rows = parts.measured(tables["transfer_gains"], None)
    kept = graph.edges(rows[rows["seed"].isna() & (rows["source_role"] == "task")])
    assert set(kept["dataset"]) == {"all"}
    assert (kept["ci_low"] > 0).all()
    assert kept.groupby("target").size().max() <= graph.BEST
    assert (kept["source"] != kept["target"]).all()


def test_tasks_stand_in_the_order_of_the_atlas_where_it_knows_them(tables, tmp_path):
    names = sorted(FEW)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    place = dict(zip(names, np.random.default_rng(0).permutation(len(names)), strict=True))
    frame = pd.DataFrame(
        [
            {"encoder": "taco", "split": "groups", "metric": "centroid_cosine", "task_a": a,
             "task_b": b, "estimate": abs(float(place[a] - place[b]))}
            for a, b in pairs
        ]
    )  # fmt: skip
    path = tmp_path / "task_distances.parquet"
    frame.to_parquet(path)
    functional = tables["functional_distance"]
    order, tree = parts.tree_order(names, functional, path, "taco")
    assert tree == "space of taco"
    ranks = [place[name] for name in order]
    assert ranks in (sorted(ranks), sorted(ranks, reverse=True))
    assert parts.tree_order([*names, "other"], functional, path, "taco")[1] == "functional distance"
