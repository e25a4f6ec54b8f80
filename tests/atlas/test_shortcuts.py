"""The shortcut audit: views hide what they say, and a planted shortcut is found."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from generated import SPLITS, make_pairs, smooth_image, write_dataset
from medtaskatlas.atlas.findings import shortcuts as finding
from medtaskatlas.atlas.shortcuts.meaning import MEANINGS, Told, explained, meaning
from medtaskatlas.atlas.shortcuts.table import CONTROLS, MARGIN, probe, score, shortcuts
from medtaskatlas.atlas.shortcuts.views import (
    GALLERY_PAIRS,
    QUERY_PAIRS,
    STRIP,
    VIEWS,
    choose,
    join,
    side_statistics,
    view,
    views,
)
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.tasks.bank import load_bank, select_tasks

BANK = load_bank()
TASKS = (
    "denoising_gaussian",
    "impulse_removal",
    "rotation",
    "horizontal_flip",
    "vertical_flip",
    "inversion",
)
HELD = ["d2"]


def _pictures(n=6, side=24, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([smooth_image(rng, side, side, i % 2 == 1) for i in range(n)])


def _of(name, before, after):
    return view(name, side_statistics(before), side_statistics(after))


def test_border_sees_the_strip_only():
    before, after = _pictures(), _pictures(seed=1)
    inside = after.copy()
    inside[:, STRIP:-STRIP, STRIP:-STRIP] = 255 - inside[:, STRIP:-STRIP, STRIP:-STRIP]
    np.testing.assert_array_equal(_of("border", before, after), _of("border", before, inside))
    inside[:, 0, 3] = 255 - inside[:, 0, 3]
    assert (_of("border", before, after) != _of("border", before, inside)).any(axis=1).all()


def test_histogram_sees_no_position():
    before, after = _pictures(), _pictures(seed=1)
    order = np.random.default_rng(0).permutation(24 * 24)
    mixed = after.reshape(6, -1, 3)[:, order].reshape(after.shape)
    np.testing.assert_array_equal(_of("histogram", before, after), _of("histogram", before, mixed))


@pytest.mark.parametrize("name", ["histogram", "residue", "input_only", "output_only"])
def test_mirroring_changes_nothing_to_the_last_digit(name):
    pictures = _pictures()
    same = _of(name, pictures, pictures)
    for flipped in (pictures[:, ::-1], pictures[:, :, ::-1]):
        if name.endswith("only"):
            np.testing.assert_allclose(_of(name, flipped, flipped), same, atol=2e-4)
        else:
            np.testing.assert_allclose(_of(name, pictures, flipped), same, atol=2e-4)


def test_residue_sees_no_slow_change():
    """A plane added to a picture is gone from all that does not ask for the grey level."""
    before = _pictures() // 2
    ramp = np.arange(24, dtype=np.uint8)[None, None, :, None]
    inner = slice(0, 7)
    plain, sloped = side_statistics(before), side_statistics(before + ramp)
    # Exact but in the two columns at the border, where a reflected plane has a kink.
    np.testing.assert_allclose(plain.residue[:, inner], sloped.residue[:, inner], atol=0.35)
    noisy = np.random.default_rng(0).integers(0, 60, before.shape).astype(np.uint8)
    assert (side_statistics(before + noisy).residue[:, 0] > plain.residue[:, 0] + 1).all()


@pytest.mark.parametrize(("name", "hidden"), [("input_only", 1), ("output_only", 0)])
def test_one_side_hides_the_other(name, hidden):
    sides = [_pictures(), _pictures(seed=1)]
    seen = _of(name, *sides)
    sides[hidden] = _pictures(seed=2)
    np.testing.assert_array_equal(_of(name, *sides), seen)


@pytest.mark.parametrize("fill", [0, 128, 255])
@pytest.mark.parametrize("side", [4, 28, 33])
def test_constant_and_tiny_pictures_have_finite_views(fill, side):
    flat = np.full((2, side, side, 3), fill, np.uint8)
    for name in VIEWS:
        features = _of(name, flat, 255 - flat)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()


def test_batches_join_to_the_same():
    pictures = _pictures(7)
    whole = side_statistics(pictures)
    parts = join([side_statistics(pictures[:3]), side_statistics(pictures[3:])])
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))
    taken = whole.take(np.array([2, 2, 0]))
    np.testing.assert_array_equal(taken.levels, whole.levels[[2, 2, 0]])


def _frame(n=100):
    return pd.DataFrame(
        [
            {"dataset": d, "task": t, "image_row": i % 60, "draw": i // 60}
            for d in "ab"
            for t in "xyz"
            for i in range(n)
        ]
    )


def test_choice_shares_images_and_keeps_to_its_limits():
    frame = _frame()
    role = np.array(["gallery", "groups", "none"], dtype=object)[frame["image_row"] % 3]
    place = choose(frame, role, seed=0)
    assert (place[role == "none"] == -1).all()
    taken = frame.assign(role=role, place=place)[place >= 0]
    for (_, _, kind), rows in taken.groupby(["dataset", "task", "role"]):
        assert len(rows) == (GALLERY_PAIRS if kind == "gallery" else QUERY_PAIRS)
        assert sorted(rows["place"]) == list(range(len(rows)))
        if kind == "groups":  # as many as there are images, so none comes twice
            assert rows["image_row"].is_unique
    for _, rows in taken.groupby(["dataset", "role"]):
        images = {frozenset(r["image_row"] + 1000 * r["draw"]) for _, r in rows.groupby("task")}
        assert len(images) == 1
    np.testing.assert_array_equal(choose(frame, role, seed=0), place)
    assert (choose(frame, role, seed=1) != place).any()


def test_scores_agree_with_group_means():
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame(
        {
            "dataset": rng.choice(["a", "b", "c"], n),
            "subject_id": rng.choice(list("ghijklm"), n),
            "task": rng.choice(["x", "y", "z"], n, p=[0.6, 0.3, 0.1]),
        }
    )
    frame = frame[(frame["dataset"] != "c") | (frame["task"] != "z")].reset_index(drop=True)
    p = rng.dirichlet([1, 1, 1, 1], len(frame))
    known = ["w", "x", "y", "z"]
    got = score(frame, p, known, split="groups", seed=0, n_draws=200)
    true = pd.Series(p[np.arange(len(p)), [known.index(t) for t in frame["task"]]])
    cells = true.groupby([frame["dataset"], frame["task"]]).mean()
    np.testing.assert_allclose(got.estimate[0], cells.mean())
    np.testing.assert_allclose(got.estimate[1:], cells.groupby("task").mean())
    given = pd.DataFrame(p, columns=known).groupby([frame["dataset"], frame["task"]]).mean()
    dealt = given.groupby("dataset").mean()
    np.testing.assert_allclose(got.chance[3], dealt.loc[["a", "b"], "z"].mean())
    np.testing.assert_allclose(got.rivals[0], given.xs("x", level="task").mean())
    low, high = np.quantile(got.draws[False][:, 0], [0.025, 0.975])
    assert low < got.estimate[0] < high


def test_an_answer_that_ignores_the_pair_is_at_chance():
    frame = pd.DataFrame(
        [
            {"dataset": d, "subject_id": str(g), "task": t}
            for d in "ab"
            for g in range(6)
            for t in "xy"
        ]
    )
    p = np.tile([0.9, 0.1], (len(frame), 1))
    got = score(frame, p, ["x", "y"], split="groups", seed=0, n_draws=50)
    np.testing.assert_allclose(got.estimate, got.chance)
    np.testing.assert_allclose(got.estimate, [0.5, 0.9, 0.1])


def test_probe_shares_what_it_cannot_tell():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 200)
    features = rng.normal(size=(600, 4)).astype(np.float32)
    features[truth == 2, 0] += 8
    p = probe(features, truth, features, seed=3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p[truth == 2, 2].mean() > 0.9
    other = rng.normal(size=(300, 4)).astype(np.float32)
    np.testing.assert_allclose(probe(features, truth, other, 3)[:, :2].mean(axis=0), 0.5, atol=0.1)
    np.testing.assert_array_equal(probe(features, truth, features, seed=3), p)
    np.testing.assert_array_equal(probe(features, truth * 0, other, 0), 1)


@pytest.mark.parametrize("name", VIEWS)
def test_every_task_of_the_bank_has_one_meaning_in_every_view(name):
    for task in select_tasks("all", BANK):
        found = [m for m in MEANINGS[name] if task in m.tasks]
        assert len(found) == 1, (name, task)
    named = {task for m in MEANINGS[name] for task in m.tasks}
    assert named <= set(BANK), "a meaning of a task that there is not"
    assert meaning(name, "a task of a user") is None
    assert meaning("all", "rotation") is None


def test_what_look_alikes_explain():
    tasks = ["horizontal_flip", "inpainting", "mine", "rotation", "translation", "vertical_flip"]
    there = np.ones((2, 6), bool)
    there[1, 5] = False  # a dataset without the vertical flip
    got = explained("histogram", tasks, there)
    np.testing.assert_allclose(got, [0.75, np.nan, np.nan, 0.5, 0.5, 0.5])
    assert meaning("histogram", "inpainting").told is Told.NOT


def _marked(task):
    """The task with one black row in its output: debris."""

    def apply(sample, params):
        before, after = task.apply(sample, params)
        after = after.copy()
        after[-1] = 0
        return before, after

    return dataclasses.replace(task, apply=apply)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Clean pairs, and a copy in which one flip is marked."""
    folder = tmp_path_factory.mktemp("shortcuts")
    images = [
        write_dataset(folder / "images" / f"d{i}.arrow", n=36, side=28, groups=18, seed=i)
        for i in range(3)
    ]
    pairs = {"clean": [], "marked": []}
    for path in images:
        for task in TASKS:
            for kind, made in pairs.items():
                chosen = BANK[task]
                if kind == "marked" and task == "horizontal_flip":
                    chosen = _marked(chosen)
                out = folder / kind / task / path.name
                make_pairs(path, chosen, out, pairs_per_cell=36, splits=SPLITS, seed=0)
                made.append(out)
    return images, pairs


@pytest.fixture(scope="module")
def tables(files, tmp_path_factory):
    images, pairs = files
    folder = tmp_path_factory.mktemp("tables")
    for kind, paths in pairs.items():
        out = folder / f"{kind}.parquet"
        shortcuts(paths, images, out, run="test", heldout_datasets=HELD, n_draws=200)
    return {kind: read_table(folder / f"{kind}.parquet", "shortcuts", run="test") for kind in pairs}


def _row(table, name, task, split="groups"):
    rows = table[(table["view"] == name) & (table["name"] == task) & (table["split"] == split)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_table_has_every_view_and_task(tables):
    table = tables["clean"]
    assert set(table["view"]) == {*VIEWS, *CONTROLS}
    assert set(table["split"]) == {"groups", "datasets"}
    assert len(table) == len({*VIEWS, *CONTROLS}) * 2 * (1 + len(TASKS))
    assert table["reason"].str.len().gt(0).all()
    assert (table[["n_pairs", "n_images", "n_groups"]] > 0).all(axis=None)
    rates = table.groupby(["view", "split"])["rival_rate"].max()
    assert (rates <= 1).all()


def test_what_the_meaning_explains_is_told_and_not_flagged(tables):
    table = tables["clean"]
    for name, task in (("histogram", "inversion"), ("input_only", "impulse_removal")):
        row = _row(table, name, task)
        assert row["estimate"] > 0.7, (name, task)
        assert row["expected"]
        assert not row["flagged"]
    for task in ("horizontal_flip", "vertical_flip"):
        row = _row(table, "histogram", task)
        assert row["explained"] == 0.5
        assert abs(row["estimate"] - 0.5) < 0.1
        assert not row["expected"]
        assert not row["flagged"]
    # Four of the six tasks start from the image itself.
    clean = [_row(table, "input_only", t)["estimate"] for t in TASKS if t not in TASKS[:2]]
    np.testing.assert_allclose(clean, 0.25, atol=0.1)


def test_shuffled_labels_are_at_chance(tables):
    for table in tables.values():
        rows = table[table["view"] == "shuffled"]
        assert not rows["flagged"].fillna(False).any()
        # A task has few queries here; over all of them chance is chance.
        over_all = rows[rows["level"] == "overall"]
        assert (over_all["estimate"] - over_all["chance"]).abs().max() < MARGIN / 2
        whole = table[(table["view"] == "all") & (table["level"] == "overall")]
        assert (whole["estimate"] > 0.4).all()
        assert whole["flagged"].isna().all()


def test_a_planted_mark_is_flagged_where_it_can_be_seen(tables):
    clean, marked = tables["clean"], tables["marked"]
    for name in ("border", "histogram", "output_only"):
        row = _row(marked, name, "horizontal_flip")
        assert row["flagged"], name
        assert row["ci_low"] > max(row["chance"], row["explained"]) + MARGIN
        assert not _row(clean, name, "horizontal_flip")["flagged"], name
    assert not _row(marked, "input_only", "horizontal_flip")["flagged"]


def test_summary_says_it_in_a_sentence(tables):
    found = next(iter(finding({"shortcuts": tables["marked"]})))
    assert "horizontal_flip by border" in found["sentence"]
    assert found["verdict"] == "not supported"
    assert 0 < found["estimate"] < 1
    assert list(finding({})) == []


def test_the_same_again(files, tables, tmp_path):
    images, pairs = files
    out = tmp_path / "again.parquet"
    shortcuts(pairs["clean"], images, out, run="test", heldout_datasets=HELD, n_draws=200)
    pd.testing.assert_frame_equal(read_table(out, "shortcuts"), tables["clean"], check_exact=True)


def test_views_of_a_bank_are_those_of_its_pixels(files):
    """Statistics of images that many pairs share land at the right pairs."""
    images, pairs = files
    bank = PairBank(pairs["clean"], images)
    rows = np.sort(np.random.default_rng(0).permutation(len(bank))[:40])
    pixels = bank.gather(rows)
    for name, features in views(bank, rows).items():
        np.testing.assert_array_equal(features, _of(name, pixels[:, 0], pixels[:, 1]))


def test_nothing_to_learn_from_is_a_clear_error(files, tmp_path):
    images, pairs = files
    with pytest.raises(DataError, match="no training pair"):
        shortcuts(
            pairs["clean"], images, tmp_path / "t.parquet", run="test",
            heldout_datasets=["d0", "d1", "d2"],
        )  # fmt: skip
