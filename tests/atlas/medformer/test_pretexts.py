"""Pretexts beside their distance to the target, and whether it tells which of them helps."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.medformer.pretext_findings import pretexts as finding_of
from medtaskatlas.atlas.medformer.pretext_ranks import (
    medformer_pretext_ranks,
    ranks_of,
    restricted,
    weighted_spearman,
)
from medtaskatlas.atlas.medformer.pretexts import medformer_pretexts
from medtaskatlas.atlas.tables import conform, read_table, write_table

TASKS = {
    **{f"g{i}": "generative" for i in range(6)},
    **{f"t{i}": "transformation" for i in range(6)},
    "segmentation": "semantic",
}
PRETEXTS = [name for name in TASKS if name != "segmentation"]
ARMS = {f"from_{name}": {"pretext": name, "family": TASKS[name]} for name in PRETEXTS}
TARGETS = {
    "one": {
        "mask": {"score": "dice", "task": "segmentation", "family": "semantic"},
        "g0": {"score": "ssim", "task": "g0", "family": "generative"},
        "value.x": {"score": "skill", "task": None, "family": None},
    }
}
SCORES = {"mask": ["dice", "pooled_dice"], "g0": ["ssim"], "value.x": ["skill"]}
N = {"n_images": 50, "n_groups": 20, "n_subjects": 20, "n_datasets": 1}
ENCODERS = ("taco", "pixels")


def distance(encoder, one, other):
    """Far apart in a space of its own: a function of the two names."""
    rng = np.random.default_rng([len(encoder), *map(ord, "".join(sorted((one, other))))])
    return float(rng.uniform(0.1, 1))


def written(folder, gain, arms=ARMS):
    """Paths of the tables of gains and of distances; ``gain`` maps target and pretext to one."""
    rows = [
        {"run": "r", "set": one, "arm": arm, "reference": "longer", "differs": differs,
         "labels": 20, "seed": None, "split": "test", "duplicates": "kept", "target": target,
         "score": score,
         "estimate": gain(target, of["pretext"]) * (-1 if score == "pooled_dice" else 1),
         "ci_low": -0.1, "ci_high": 0.3,
         "ci_method": "bootstrap", "p": 0.4, "p_adjusted": 0.5, "p_family": "f", **N}
        for one in ("one", "all") for arm, of in arms.items() for target in SCORES
        for score in SCORES[target] for differs in ("matched",)
    ]  # fmt: skip
    rows.append(rows[0] | {"reference": "single", "differs": "start"})
    rows.append(rows[0] | {"arm": "from_masked"})
    rows.append(rows[0] | {"duplicates": "left_out"})
    write_table("medformer_gains", rows, folder / "gains.parquet", {"run": "r"})
    names = sorted(TASKS)
    rows = [
        {"run": "r", "encoder": encoder, "split": split, "metric": metric, "task_a": a,
         "task_b": b, "family_a": TASKS[a], "family_b": TASKS[b], "estimate": far, "ci_low": 0.05,
         "ci_high": 1.2, "ci_method": "bootstrap", "n_pairs": 9, **N}
        for encoder in ENCODERS for i, a in enumerate(names) for b in names[i + 1 :]
        for split, metric, far in (
            ("groups", "centroid_cosine", distance(encoder, a, b)),
            ("groups", "energy", 0.5), ("datasets", "centroid_cosine", 0.5),
        )
    ]  # fmt: skip
    write_table("task_distances", rows, folder / "distances.parquet", {"run": "r"})
    return folder / "gains.parquet", folder / "distances.parquet"


def tables(folder, gain, arms=ARMS):
    """Both tables of pretexts."""
    paths, out = written(folder, gain, arms), folder / "pretexts.parquet"
    medformer_pretexts(*paths, out, run="r", pretexts=ARMS, targets=TARGETS)
    ranks = folder / "ranks.parquet"
    medformer_pretext_ranks(out, ranks, run="r", n_permutations=999, n_draws=300)
    names = "medformer_pretexts", "medformer_pretext_ranks"
    return [read_table(p, name, run="r") for p, name in zip((out, ranks), names, strict=True)]


def near_helps(target, pretext):
    """A gain that falls with the distance of the task that the target is, in one space."""
    task = {"mask": "segmentation", "value.x": "g5"}.get(target, target)
    return 0.0 if task == pretext else 0.3 - distance("taco", task, pretext)


def chance(target, pretext):
    return float(np.random.default_rng([*map(ord, target + pretext)]).normal())


def test_every_gain_over_the_matched_arm_has_the_distance_in_each_encoder(tmp_path):
    table, _ = tables(tmp_path, near_helps)
    # Of the set alone, not the mean; neither other comparisons nor other pretexts.
    assert set(table["set"]) == {"one"}
    assert set(table["reference"]) == {"longer"}
    assert set(table["pretext"]) == set(PRETEXTS)
    mask = table[(table["target"] == "mask") & (table["score"] == "dice")]
    assert len(mask) == len(PRETEXTS) * len(ENCODERS)
    for row in mask.to_dict("records"):
        assert row["task"] == "segmentation"
        assert row["distance"] == distance(row["encoder"], "segmentation", row["pretext"])
        assert (row["distance_low"], row["distance_high"]) == (0.05, 1.2)
        assert row["estimate"] == near_helps("mask", row["pretext"])
        assert not row["same_family"]
        assert row["primary"]
    assert not table[table["score"] == "pooled_dice"]["primary"].any()
    own = table[(table["target"] == "g0") & (table["encoder"] == "taco")].set_index("pretext")
    assert own.loc["g0", "distance"] == 0
    assert own["same_family"].to_dict() == {p: TASKS[p] == "generative" for p in PRETEXTS}
    # No task of the bank asks for a value: one row a pretext, without a distance.
    value = table[table["target"] == "value.x"]
    assert len(value) == len(PRETEXTS)
    assert value[["task", "encoder", "distance", "same_family"]].isna().all(axis=None)


def test_ranks_are_spearmans_of_the_primary_score_without_the_target_itself(tmp_path):
    _, ranks = tables(tmp_path, near_helps)
    found = ranks.set_index(["target", "predictor", "encoder"])
    for target, task in (("mask", "segmentation"), ("g0", "g0")):
        others = [name for name in PRETEXTS if name != task]
        gains = [near_helps(target, name) for name in others]
        for encoder in ENCODERS:
            row = found.loc[(target, "distance", encoder)]
            far = [distance(encoder, task, name) for name in others]
            assert row["estimate"] == pytest.approx(spearmanr(far, gains).statistic)
            assert row["n_pretexts"] == len(others)
        assert found.loc[(target, "distance", "taco"), "estimate"] == pytest.approx(-1)
        assert found.loc[(target, "distance", "taco"), "p"] == pytest.approx(1 / 1000)
        assert found.loc[(target, "distance", "taco"), "ci_high"] < -0.8
    both = found.loc[("all", "distance", "taco")]
    assert (both["n_targets"], both["n_images"]) == (2, 50)
    each = found.loc[[("mask", "distance", "pixels"), ("g0", "distance", "pixels")], "estimate"]
    assert found.loc[("all", "distance", "pixels"), "estimate"] == pytest.approx(each.mean())
    assert found.loc[("all", "distance", "pixels"), "p"] > 0.05
    # All pretexts are of other families than masks; of those of `g0` five are of its own.
    family = ranks[ranks["predictor"] == "family"].set_index("target")
    assert family.loc["mask", "note"] == "undefined: all are alike"
    assert family.loc["g0", "n_pretexts"] == 11
    apart = [TASKS[name] != "generative" for name in PRETEXTS[1:]]
    gains = [near_helps("g0", name) for name in PRETEXTS[1:]]
    assert family.loc["g0", "estimate"] == pytest.approx(spearmanr(apart, gains).statistic)
    assert "all" not in family.index
    assert set(ranks["target"]) == {"mask", "g0", "all"}


def test_few_pretexts_are_told(tmp_path):
    arms = dict(list(ARMS.items())[:6])
    _, ranks = tables(tmp_path, chance, arms)
    row = ranks[(ranks["target"] == "mask") & (ranks["encoder"] == "taco")].iloc[0]
    assert "only 6 pretexts" in row["note"]
    assert pd.notna(row["ci_low"])
    _, ranks = tables(tmp_path, chance, dict(list(ARMS.items())[:4]))
    row = ranks[(ranks["target"] == "mask") & (ranks["encoder"] == "taco")].iloc[0]
    assert pd.isna(row["ci_low"])
    assert "4 pretexts, at least 5 are needed" in row["note"]
    _, ranks = tables(tmp_path, chance, dict(list(ARMS.items())[:2]))
    assert (ranks["note"] == "undefined: 2 pretexts").any()


def test_drawn_pretexts_are_those_of_a_longer_list():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 9).astype(float), rng.normal(size=9)
    weights = rng.multinomial(9, np.full(9, 1 / 9), 20)
    found = weighted_spearman(x, y, weights)
    for one, weight in zip(found, weights, strict=True):
        assert one == pytest.approx(spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic)


def test_permutations_of_some_are_permutations_as_likely_each():
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(5), (12_000, 1)), axis=1)
    kept = np.array([True, False, True, True, False])
    found = restricted(orders, kept)
    assert (np.sort(found, axis=1) == np.arange(3)).all()
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts / 2000 - 1).max() < 0.1
    assert np.array_equal(restricted(orders, np.ones(5, bool)), orders)


@pytest.mark.parametrize(("alike", "low", "high"), [(True, 0.02, 0.09), (False, 0.12, 1)])
def test_p_is_as_small_as_chance_has_it_where_a_pretext_helps_every_target(alike, low, high):
    """Gains and distances that four targets share; each target lacks another pretext.

    With permutations of their own for each target, p would be too small.
    """
    rng = np.random.default_rng(1)
    ps = []
    for _ in range(300):
        shared = rng.normal(size=(2, 12))
        orders = rng.permuted(np.tile(np.arange(12), (199, 1)), axis=1)
        found = []
        for target in range(4):
            kept = np.arange(12) != target
            x, y = (shared + 0.3 * rng.normal(size=(2, 12)))[:, kept]
            own = orders if alike else rng.permuted(orders, axis=1)
            found.append(ranks_of(x, y, restricted(own, kept), np.ones((1, 11))))
        mean, null = (np.mean([r[i] for r in found], axis=0) for i in (0, 1))
        ps.append(permutation_p(abs(mean), np.abs(null)))
    assert low < np.mean(np.array(ps) <= 0.05) < high


def ranked(**estimates):
    """The table of ranks of one target, with p by the names of encoders, and roles."""
    roles = {"taco": "model", "pixels": "baseline", "family": "family"}
    rows = [
        {"run": "r", "set": "all", "target": "all", "labels": 20, "score": "all",
         "reference": "longer", "predictor": "family" if name == "family" else "distance",
         "encoder": None if name == "family" else name, "n_pretexts": 12, "n_targets": 3,
         "estimate": r, "ci_low": r - 0.1, "ci_high": r + 0.1, "ci_method": "bootstrap", "p": p,
         "p_adjusted": p, "p_family": "f", **N}
        for name, (r, p) in estimates.items()
    ]  # fmt: skip
    of = pd.DataFrame({"encoder": list(roles), "role": list(roles.values())})
    ranks = conform("medformer_pretext_ranks", rows)
    return {"medformer_pretext_ranks": ranks, "identification": of}


def test_a_finding_holds_where_no_control_says_as_much():
    (row,) = finding_of(ranked(taco=(-0.6, 0.01), pixels=(-0.2, 0.3), family=(-0.1, 0.6)))
    assert row["verdict"] == "supported"
    assert row["encoder"] == "taco"
    for words in (
        "of 12 pretexts, those that lie nearer to a target in the space of taco help it more",
        "-0.60 (95 % interval -0.70 to -0.50; adjusted p = 0.01) (mean over 3 targets)",
        "pixels -0.20", "being of another family -0.10", "n = 50 images",
    ):  # fmt: skip
        assert words in row["sentence"]
    assert len(conform("summary", [{"run": "r", "supported": True, **row}])) == 1


@pytest.mark.parametrize(
    ("estimates", "words"),
    [
        ({"taco": (-0.6, 0.06), "pixels": (-0.2, 0.3)}, "are not seen to help it more"),
        ({"taco": (0.6, 0.01), "pixels": (-0.2, 0.3)}, "are not seen to help it more"),
        ({"taco": (-0.6, 0.01), "pixels": (-0.7, 0.01)}, "One of them says as much"),
        ({"taco": (-0.6, 0.01), "family": (-0.6, 0.01)}, "One of them says as much"),
    ],
)
def test_nothing_is_claimed_by_chance_or_where_a_control_says_as_much(estimates, words):
    (row,) = finding_of(ranked(**estimates))
    assert row["verdict"] != "supported"
    assert words in row["sentence"]


def test_a_run_without_pretexts_has_no_finding():
    assert list(finding_of({})) == []
