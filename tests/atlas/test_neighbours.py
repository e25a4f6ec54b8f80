"""The tasks nearest to each task, and how surely they are."""

import numpy as np
import pandas as pd
import pytest

from atlas_synthetic import FAMILY_OF, make_frame, make_vectors, with_roles, write_embedding
from medtaskatlas.atlas.centroids import centroid_cosines
from medtaskatlas.atlas.counts import counts, counts_of_two, of_subjects
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.inference import bootstrap_interval
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.task_neighbours import nearest_shares, neighbours
from medtaskatlas.core.errors import DataError

FEW = {"run": "synthetic", "n_draws": 200}


def _table(tmp_path, embeddings, **held):
    out = tmp_path / "neighbours.parquet"
    neighbours(embeddings, out, **FEW, **held)
    return read_table(out, "neighbours")


def test_centroid_distances_of_draws_are_those_of_repeated_pairs():
    frame = make_frame(n_datasets=3, groups=4, per_cell=6)
    frame = frame[~((frame["task"] == "shear") & (frame["dataset"] != "d1"))].reset_index(drop=True)
    # More features than one block holds.
    vectors = [make_vectors(frame, seed=s, dim=150) for s in (0, 1)]
    design = Design.of(frame)
    rng = np.random.default_rng(0)
    draws, seeds = draw(design, rng, 7), draw_seeds(rng, 2, 7)
    got = centroid_cosines(design, vectors, draws, seeds)
    for b in range(7):
        wanted = sum(
            seeds[b, s] * _slow(design, v.astype(float), draws, b) for s, v in enumerate(vectors)
        )
        assert got[b] == pytest.approx(wanted, abs=1e-5, nan_ok=True)
    assert np.isnan(got[draws.dataset[:, 1] == 0][:, design.tasks.index("shear")]).all()


def _slow(design: Design, vectors: np.ndarray, draws: Draws, b: int) -> np.ndarray:
    """Distances of one draw, a pair after the other."""
    centres = []
    for t in range(len(design.tasks)):
        cells = []
        for d in range(len(design.datasets)):
            rows = (design.task == t) & (design.subject_dataset[design.subject] == d)
            weight = draws.subject[b, design.subject[rows]]
            if weight.sum():
                mean = np.average(vectors[rows], axis=0, weights=weight)
                cells += [mean] * int(draws.dataset[b, d])
        centre = np.sum(cells, axis=0) if cells else np.full(vectors.shape[1], np.nan)
        centres.append(centre / np.linalg.norm(centre))
    found = 1 - np.array(centres) @ np.array(centres).T
    diagonal = np.where(np.isfinite(np.diag(found)), 0, np.nan)
    np.fill_diagonal(found, diagonal)
    return found


def test_nearest_shares_count_draws_that_hold_both():
    rng = np.random.default_rng(0)
    draws = rng.random((40, 5, 5))
    draws += draws.transpose(0, 2, 1)
    gone = rng.random((40, 5)) < 0.2
    draws[gone] = np.nan
    draws.transpose(0, 2, 1)[gone] = np.nan
    for ranks in (1, 3):
        got = nearest_shares(draws, ranks)
        for a in range(5):
            for b in set(range(5)) - {a}:
                hits = []
                for one in draws[~gone[:, a] & ~gone[:, b]]:
                    others = [c for c in range(5) if c != a and np.isfinite(one[a, c])]
                    hits.append(b in sorted(others, key=lambda c, one=one: one[a, c])[:ranks])
                assert got[a, b] == pytest.approx(np.mean(hits))
    assert np.isnan(nearest_shares(np.full((3, 4, 4), np.nan), 1)).all()


def test_counts_of_two_are_those_of_counts():
    frame = make_frame(n_datasets=3, groups=4, per_cell=6)
    frame = frame[(frame["task"] != "shear") | (frame["dataset"] == "d1")].reset_index(drop=True)
    frame = frame.drop(index=frame.index[frame["task"] == "boundary"][:9]).reset_index(drop=True)
    # Two datasets show the same subjects.
    frame["subject_id"] = frame["group_id"].where(frame["dataset"] != "d2", frame["subject_id"])
    code = pd.factorize(frame["task"])[0]
    got = counts_of_two(frame, code)
    for a in range(code.max() + 1):
        for b in range(code.max() + 1):
            assert got[a][b] == counts(frame, np.isin(code, (a, b)))


def test_a_brain_in_two_datasets_is_one_subject():
    frame = make_frame(n_datasets=3, groups=4, per_cell=8, tasks=["shear", "rotation"])
    brain = frame["dataset"].isin(["d0", "d1"])
    frame.loc[brain, "subject_id"] = "icbm152/average-brain"
    one, both, every = (
        counts(frame, frame["dataset"].isin(own).to_numpy())
        for own in (["d0"], ["d0", "d1"], ["d0", "d1", "d2"])
    )
    assert [n["n_subjects"] for n in (one, both, every)] == [1, 1, 5]
    assert [n["n_groups"] for n in (one, both, every)] == [4, 8, 12]
    assert of_subjects(both) == " of 1 subject"
    assert not of_subjects(counts(frame[~brain]))


def test_neighbours_are_of_the_family_and_agree_with_the_distances(run, tmp_path):
    table = _table(tmp_path, run["embeddings"])
    assert set(table["rank"]) == {1, 2, 3, 4, 5}
    taco = table[(table["encoder"] == "taco") & (table["split"] == "groups")]
    assert taco[taco["rank"] <= 2]["same_family"].all()
    assert not taco[taco["rank"] > 2]["same_family"].any()
    assert (taco["support_top3"] >= taco["support"]).all()
    # What the encoder cannot tell is not sure either.
    first = table[table["rank"] == 1].groupby("encoder")["support_top3"].mean()
    assert first["taco"] > first["random"]
    together = taco[taco["rank"] <= 2].groupby("task")["support"].sum()
    assert together.to_numpy() == pytest.approx(np.ones(len(FAMILY_OF)), abs=0.1)
    task_distances(run["embeddings"], tmp_path / "t.parquet", **FEW)
    apart = read_table(tmp_path / "t.parquet", "task_distances")
    apart = apart[apart["metric"] == "centroid_cosine"]
    keys = ["encoder", "split", "task_a", "task_b"]
    ends = np.sort(table[["task", "neighbour"]].to_numpy(dtype=str), axis=1)
    joined = table.assign(task_a=ends[:, 0], task_b=ends[:, 1]).merge(apart, on=keys)
    assert len(joined) == len(table)
    for name in ("estimate", "ci_low", "ci_high", "n_groups"):
        assert joined[f"{name}_x"].to_numpy(float) == pytest.approx(
            joined[f"{name}_y"].to_numpy(float), nan_ok=True
        )


def test_a_task_of_one_pair_has_neighbours_but_no_support(tmp_path):
    frame = make_frame(n_datasets=3, groups=16, per_cell=32)
    shear = (frame["task"] == "shear") & (frame["dataset"] == "d0") & (frame["split"] == "test")
    keep = (frame["task"] != "shear") | (frame["split"] == "train")
    keep.loc[shear.idxmax()] = True
    frame = frame[keep].reset_index(drop=True)
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    table = _table(tmp_path, [path])
    groups = table[table["split"] == "groups"]
    rows = groups[groups["task"] == "shear"]
    assert len(rows) == 5
    assert rows["estimate"].notna().all()
    assert rows[["support", "support_top3", "ci_low"]].isna().all().all()
    assert rows["note"].str.startswith("no interval and no support: a task has 1 subject").all()
    others = groups[(groups["task"] != "shear") & (groups["neighbour"] != "shear")]
    assert others["support"].notna().all()
    # The other metrics need two pairs of a task.
    task_distances([path], tmp_path / "t.parquet", **FEW)
    apart = read_table(tmp_path / "t.parquet", "task_distances")
    apart = apart[(apart["task_b"] == "shear") & (apart["split"] == "groups")]
    by = apart.groupby("metric")["estimate"].apply(lambda x: x.notna().all())
    assert by.to_dict() == {"centroid_cosine": True, "energy": False, "mmd": False}
    assert apart.loc[apart["metric"] == "mmd", "note"].str.contains("a task of one pair").all()


def test_one_task_and_a_centroid_of_zero_have_reasons(tmp_path):
    hidden = sorted({*FAMILY_OF} - {"shear", "boundary"})
    frame = with_roles(make_frame(n_datasets=3), heldout_tasks=hidden)
    vectors = make_vectors(frame)
    vectors[(frame["task"] == "boundary") & (frame["split"] != "train")] = 0
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, vectors)
    table = _table(tmp_path, [path])
    known = table[table["split"] == "groups"]
    assert known["task"].tolist() == ["boundary", "shear"]
    zero = table[table["task"] == "boundary"]
    assert (zero["note"] == "undefined: the centroid of a task is zero").all()
    assert zero["estimate"].isna().all()
    assert "boundary" not in set(table["neighbour"])


@pytest.mark.parametrize("held", [["shear"], ["rotation", "shear"]])
def test_a_held_out_task_is_placed_among_the_tasks_of_the_gallery(tmp_path, held):
    frame = make_frame(n_datasets=4, groups=16, per_cell=32)
    vectors = [make_vectors(frame, seed=s) for s in (0, 1)]

    def paths(frame):
        return [
            write_embedding(tmp_path / "e" / f"seed{s}.parquet", frame, vectors[s], seed=s)
            for s in (0, 1)
        ]

    table = _table(tmp_path, paths(with_roles(frame, heldout_tasks=held)))
    rows = table[table["split"] == "tasks"]
    assert sorted(set(rows["task"])) == held
    assert rows.groupby("task").size().tolist() == [5] * len(held)
    assert not set(rows["neighbour"]) & set(held)  # no encoder was trained on those
    # By hand: centroids of what no encoder has seen, each dataset counting alike.
    asked = (frame["split"] == "test").to_numpy()
    apart = []
    for one in vectors:
        cells = pd.DataFrame(one[asked]).groupby(
            [frame["task"][asked].to_numpy(), frame["dataset"][asked].to_numpy()]
        )
        centre = cells.mean().groupby(level=0).mean()
        unit = centre.to_numpy(float) / np.linalg.norm(centre, axis=1, keepdims=True)
        apart.append(pd.DataFrame(1 - unit @ unit.T, centre.index, centre.index))
    wanted = sum(apart) / 2
    for task, own in rows.groupby("task"):
        order = wanted.loc[task].drop(held).sort_values()[:5]
        assert own["neighbour"].tolist() == order.index.tolist()
        assert own["estimate"].to_numpy(float) == pytest.approx(order.to_numpy(), abs=1e-5)
        assert (own["ci_low"] <= own["estimate"]).all()
        assert own["support"].sum() <= 1 + 1e-9
        # Its own family, of which `held` leaves brightness, is what it was made from.
        assert own["neighbour"].iloc[0] == "brightness"
        assert own["support"].iloc[0] > 0.9
    # Tasks of the gallery are answered for as if nothing were held out.
    whole = _table(tmp_path, paths(frame))
    drop = table[table["split"] != "tasks"]
    assert not set(drop["task"]) & set(held)
    assert not set(drop["neighbour"]) & set(held)
    assert set(whole["split"]) == {"groups", "datasets"}


@pytest.mark.parametrize("held", [["shear"], ["rotation", "shear"]])
def test_distances_of_held_out_tasks_are_to_every_task(tmp_path, held):
    frame = with_roles(make_frame(n_datasets=4, groups=16, per_cell=32), heldout_tasks=held)
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    task_distances([path], tmp_path / "t.parquet", **FEW)
    table = read_table(tmp_path / "t.parquet", "task_distances")
    for _, rows in table[table["split"] == "tasks"].groupby("metric"):
        got = {frozenset(pair) for pair in rows[["task_a", "task_b"]].to_numpy()}
        assert got == {frozenset((h, t)) for h in held for t in FAMILY_OF if t != h}
        assert rows["estimate"].notna().all()
    others = table[table["split"] != "tasks"]
    assert not set(others["task_a"]) & set(held)
    # They rest on the held-out pairs of two tasks: half the groups of 4 datasets, all of the last.
    size = (frame["split"] == "test").groupby(frame["task"]).sum().iloc[0]
    assert set(table.loc[table["split"] == "tasks", "n_pairs"]) == {2 * size}


def test_without_held_out_pairs_of_the_gallery_there_is_a_reason(tmp_path):
    frame = make_frame(n_datasets=3)
    frame = frame[(frame["task"] == "shear") | (frame["split"] == "train")].reset_index(drop=True)
    frame = with_roles(frame, heldout_tasks=["shear"])
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    table = _table(tmp_path, [path])
    assert table["split"].tolist() == ["tasks"]
    assert table["note"].tolist() == ["undefined: no task of the gallery has held-out pairs"]
    assert table["estimate"].isna().all()


def test_one_task_alone_has_a_reason(tmp_path):
    frame = make_frame(n_datasets=3, tasks=["shear"])
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    table = _table(tmp_path, [path])
    assert set(table["note"]) == {"undefined: no other task is asked"}


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not finite"), (1.0, "all embeddings are the same vector")],
)
def test_bad_embeddings_are_a_clear_error(tmp_path, value, message):
    frame = make_frame(n_datasets=2, per_cell=4, groups=4)
    vectors = np.full((len(frame), 4), value, np.float32)
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, vectors)
    with pytest.raises(DataError, match=message):
        neighbours([path], tmp_path / "n.parquet", **FEW)
    assert not (tmp_path / "n.parquet").exists()


def test_an_interval_of_a_distance_holds_it_and_needs_groups():
    draws = np.random.default_rng(0).normal(0.5, 0.1, 500)
    n = {"n_seeds": 1, "low": 0.0, "centred": True}
    got = bootstrap_interval(draws, 0.2, {"n_subjects": 99, "n_datasets": 1}, **n)
    assert got.ci_low < 0.2 < got.ci_high
    assert got.ci_method.endswith("over subject, 95%, centred")
    assert bootstrap_interval(draws, 0.01, {"n_subjects": 99, "n_datasets": 1}, **n).ci_low == 0
    few = bootstrap_interval(draws, 0.2, {"n_subjects": 1, "n_datasets": 1}, side="a dataset", **n)
    assert few.note == "no interval: a dataset has 1 subject, at least 5 are needed"
