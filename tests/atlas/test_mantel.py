"""The Mantel test against scikit-bio's, and what it refuses."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata
from skbio.stats.distance import DistanceMatrix
from skbio.stats.distance import mantel as skbio_mantel

from medtaskatlas.atlas.comparisons.mantel import mantel, mantel_rows, ordered_pairs
from medtaskatlas.atlas.predictions import EncoderPredictions
from medtaskatlas.core.errors import DataError


def _encoder(name, role="model"):
    return EncoderPredictions(name, name, role, None, [0], {})


ENCODERS = [_encoder("taco"), _encoder("pixels", "baseline")]


def _related(T=12, noise=4.0, seed=0):
    """Two distance matrices that agree weakly, so that p is neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(T, 3))
    return tuple(squareform(pdist(points + noise * rng.normal(size=(T, 3)))) for _ in range(2))


def test_it_is_that_of_scikit_bio():
    options = {"method": "spearman", "alternative": "greater"}
    for seed in range(3):
        one, two = _related(noise=1.5, seed=seed)
        r, p = mantel(one, two, np.random.default_rng(1), n_permutations=9999)
        theirs = skbio_mantel(
            DistanceMatrix(one), DistanceMatrix(two), permutations=1999, seed=2, **options
        )
        assert r == pytest.approx(theirs[0])
        error = np.sqrt(p * (1 - p) * (1 / 9999 + 1 / 1999))
        assert abs(p - theirs[1]) < 4 * error + 1e-3


def test_p_is_the_share_of_all_relabellings():
    one, two = _related(T=6, noise=1.0)
    a, b = np.triu_indices(6, 1)
    ranked = rankdata(one[a, b]), rankdata(two[a, b])
    square = squareform(ranked[0])
    null = [pearsonr(square[np.ix_(o, o)][a, b], ranked[1])[0] for o in permutations(range(6))]
    r, p = mantel(one, two, np.random.default_rng(0))
    assert r == pytest.approx(pearsonr(*ranked)[0])
    exact = np.mean(np.array(null) >= r - 1e-9)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 1e-4)


def test_it_is_reproducible_and_never_zero():
    one, two = _related(T=20, noise=0.1)
    got = [mantel(one, two, np.random.default_rng(s)) for s in (0, 0)]
    assert got[0] == got[1]
    assert got[0][1] == pytest.approx(1 / 10000)
    same = mantel(one, 3 * one + (one > 0), np.random.default_rng(0))[0]
    assert same == pytest.approx(1)


def test_p_is_uniform_where_nothing_agrees():
    rng = np.random.default_rng(0)
    made = [[squareform(pdist(rng.normal(size=(8, 2)))) for _ in range(2)] for _ in range(200)]
    p = np.array([mantel(*two, rng, n_permutations=99)[1] for two in made])
    assert abs((p <= 0.1).mean() - 0.1) < 4 * np.sqrt(0.09 / 200)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m[:, :-1], "first matrix is not square but"),
        (lambda m: m[:2, :2], "first matrix has 2 rows, at least three"),
        (lambda m: np.where(m == m.max(), np.nan, m), "first matrix has 1 unknown distances"),
        (np.triu, "first matrix is not symmetric"),
        (np.ones_like, "first matrix has distances that are all the same"),
        (lambda m: m[:-1, :-1], "11 rows in one matrix, 12 in the other"),
    ],
)
def test_it_refuses_what_has_no_answer(spoil, message):
    one, two = _related()
    with pytest.raises(DataError, match=message):
        mantel(spoil(one), two, np.random.default_rng(0))


def _table(matrices):
    rows = [
        {"encoder": e, "split": "groups", "metric": "centroid_cosine", "estimate": m[i, j]}
        | {"task_a": f"t{i:02d}", "task_b": f"t{j:02d}"}
        for e, m in matrices.items()
        for i in range(len(m))
        for j in range(i + 1, len(m))
    ]
    return pd.DataFrame(rows)


def test_rows_leave_unknown_tasks_out_and_say_so():
    one, two = _related(T=14, noise=0.3)
    one[3, :] = one[:, 3] = np.nan
    (row,) = mantel_rows(_table({"taco": one, "pixels": two}), ENCODERS, "groups", 0, 999)
    kept = np.delete(np.arange(14), 3)
    known = (m[np.ix_(kept, kept)] for m in (one, two))
    expected = mantel(*known, np.random.default_rng(0), 9)[0]
    assert row["estimate"] == pytest.approx(expected)
    assert (row["encoder"], row["other"]) == ("taco", "pixels")
    assert "1 task without known distances left out" in row["note"]
    assert row["p"] < 0.05


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (None, "undefined: 0 tasks with known distances, 5 are needed"),
        (np.ones((14, 14)), "undefined: pixels puts all tasks equally far apart"),
        (np.full((14, 14), np.nan), "undefined: 1 task with known distances, 5 are needed"),
    ],
)
def test_rows_have_a_reason_instead_of_a_number(other, reason):
    one, _ = _related(T=14)
    matrices = {"taco": one} if other is None else {"taco": one, "pixels": other}
    (row,) = mantel_rows(_table(matrices), ENCODERS, "groups", 0, 99)
    assert row["note"].startswith(reason)
    assert "estimate" not in row
    assert "p" not in row


def test_a_trained_encoder_stands_before_a_baseline():
    encoders = [*ENCODERS, _encoder("imagenet", "baseline")]
    found = [(one.name, other.name) for one, other in ordered_pairs(encoders)]
    assert found == [("imagenet", "pixels"), ("taco", "imagenet"), ("taco", "pixels")]
