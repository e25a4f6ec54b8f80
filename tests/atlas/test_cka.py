"""CKA and noise ceilings against loops over all pairs and against rsatoolbox."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ortho_group, spearmanr

from atlas_synthetic import make_frame, make_vectors
from medtaskatlas.atlas.comparisons.cka import (
    Kernel,
    centred,
    cka_ratio,
    cka_rows,
    debiased_hsic,
    hsic_draws,
)
from medtaskatlas.atlas.comparisons.mantel import halves, noise_ceiling, noise_ceiling_rows
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.vectors import leading
from medtaskatlas.core.errors import DataError


def debiased_cka(*vectors):
    one, other = (Kernel.of(centred(v)) for v in vectors)
    pairs = ((one, other), (one, one), (other, other))
    return cka_ratio(*(debiased_hsic(*pair) for pair in pairs))


def _naive(x, y, weights=None):
    """HSIC as the mean over all distinct four rows, each as often as it was drawn."""
    n = len(x)
    w = np.ones(n) if weights is None else weights
    K, L = x @ x.T, y @ y.T
    means = []
    for size, value in (
        (2, lambda i, j: K[i, j] * L[i, j]),
        (3, lambda i, j, q: K[i, j] * L[i, q]),
        (4, lambda i, j, q, r: K[i, j] * L[q, r]),
    ):
        all_of = [(np.prod(w[list(at)]), value(*at)) for at in permutations(range(n), size)]
        means.append(sum(a * b for a, b in all_of) / sum(a for a, _ in all_of))
    return means[0] - 2 * means[1] + means[2]


@pytest.mark.parametrize("dims", [(3, 2), (12, 20)], ids=["more rows", "more dimensions"])
def test_hsic_is_the_mean_over_distinct_rows(dims):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(7, d)) + 0.3 for d in dims)
    assert debiased_hsic(Kernel.of(x), Kernel.of(y)) == pytest.approx(_naive(x, y))


def test_hsic_of_draws_counts_a_row_as_often_as_it_was_drawn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    group = np.array([2, 0, 1, 1, 0, 3, 3, 2])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]], float)
    got = hsic_draws(x, y, group, weights)
    assert got[0] == pytest.approx(debiased_hsic(Kernel.of(x), Kernel.of(y)))
    assert got == pytest.approx([_naive(x, y, w[group]) for w in weights])


def test_cka_sees_geometry_only():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * np.arange(1, 6)
    turned = 3 * x @ ortho_group.rvs(5, random_state=0) + 7
    assert debiased_cka(x, turned) == pytest.approx(1)
    assert debiased_cka(x, x + rng.normal(size=x.shape)) < 0.99
    y = rng.normal(size=(60, 9)) + x[:, :1]
    assert debiased_cka(x, y) == pytest.approx(debiased_cka(y, x))


def test_cka_of_unrelated_embeddings_is_zero_however_wide():
    rng = np.random.default_rng(0)
    found, plain = [], []
    for _ in range(30):
        x, y = (centred(rng.normal(size=(30, 300))) for _ in range(2))
        found.append(debiased_cka(x, y))
        cross, *own = (np.linalg.norm(a.T @ b) ** 2 for a, b in ((x, y), (x, x), (y, y)))
        plain.append(cross / np.sqrt(own[0] * own[1]))
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(30)
    assert np.mean(plain) > 0.5


def test_single_precision_is_as_good(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 20))
    y = x @ rng.normal(size=(20, 30)) + 20 * rng.normal(size=(400, 30))
    exact = debiased_cka(x, y)
    monkeypatch.setattr("medtaskatlas.atlas.comparisons.cka.WIDE", 1)
    assert debiased_cka(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(
        exact, abs=1e-5
    )


@pytest.mark.parametrize("width", [200, 1500])
def test_leading_components_keep_the_geometry(width):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)) @ rng.normal(size=(6, width))
    short = leading(centred(x), 8)
    assert short.shape == (80, 8)
    assert short @ short.T == pytest.approx(centred(x) @ centred(x).T, abs=1e-6 * (x**2).sum())


def test_a_constant_embedding_has_no_geometry():
    assert centred(np.full((10, 3), 0.1, np.float32)) is None


def test_noise_ceiling_is_that_of_rsatoolbox():
    rdm = pytest.importorskip("rsatoolbox.rdm")
    ceiling = pytest.importorskip("rsatoolbox.inference.noise_ceiling")
    rng = np.random.default_rng(0)
    for seeds in (2, 3, 5):
        distances = rng.random(45) + 0.4 * rng.random((seeds, 45))
        theirs = ceiling.boot_noise_ceiling(rdm.RDMs(distances), method="spearman")
        assert noise_ceiling(distances) == pytest.approx(theirs)


def test_noise_ceiling_bounds_what_a_model_reaches():
    rng = np.random.default_rng(0)
    truth = rng.random(200)
    seen = truth + 0.3 * rng.random((4, 200))
    low, high = noise_ceiling(seen)
    reached = np.mean([spearmanr(truth, one).statistic for one in seen])
    assert low < reached < high
    assert noise_ceiling(np.tile(truth, (3, 1))) == pytest.approx((1, 1))
    assert np.isnan(noise_ceiling(np.stack([truth, np.full(200, 0.5)]))).all()
    with pytest.raises(DataError, match=r"distances are \(1, 200\)"):
        noise_ceiling(truth[None])
    with pytest.raises(DataError, match="not finite"):
        noise_ceiling(np.where(seen > seen.min(), seen, np.nan))


def test_halves_part_the_groups_of_every_dataset():
    design = Design.of(make_frame(n_datasets=3, groups=5, per_cell=5))
    one, other = halves(design, np.random.default_rng(0), 50)
    assert (one.subject + other.subject == 1).all()
    for d in range(3):
        size = one.subject[:, design.subject_dataset == d].sum(axis=1)
        assert set(size) == {2, 3}


def _queries(name="taco", role="model", seeds=(0, 1), frame=None, vectors=None):
    frame = make_frame(n_datasets=3) if frame is None else frame
    made = [make_vectors(frame, seed=s) if vectors is None else vectors for s in seeds]
    asked = sorted(set(frame["task"]))
    return EncoderQueries(name, name, role, "groups", frame, list(seeds), made, asked)


def test_rows_say_why_there_is_no_number():
    one, other = _queries(), _queries("pixels", "baseline", (0,))
    n = counts(one.frame)
    found = {(r["encoder"], r["other"]): r for r in cka_rows([one, other], n, 0, 50)}
    row = found["taco", "pixels"]
    # The second encoder is the first seed of the first one.
    assert 0.5 < row["ci_low"] <= row["estimate"] <= row["ci_high"] <= 1
    assert row["ci_method"].startswith("t of 2 degrees of freedom")
    assert found["taco", "taco"]["estimate"] < 1
    assert found["pixels", "pixels"]["note"] == "undefined: one seed, at least two are needed"
    ceilings = {(r["method"], r["measure"]): r for r in noise_ceiling_rows(other, 0, 10)}
    assert ceilings["seeds", "noise_ceiling_low"]["estimate"] is None
    assert "one seed" in ceilings["seeds", "noise_ceiling_low"]["note"]
    ends = ("noise_ceiling_low", "noise_ceiling_high")
    low, high = (ceilings["subjects", end]["estimate"] for end in ends)
    assert 0.5 < low <= high <= 1

    flat = np.full((len(one.frame), 4), 0.3, np.float32)
    constant = _queries("pixels", "baseline", (0, 1), vectors=flat)
    found = {(r["encoder"], r["other"]): r for r in cka_rows([one, constant], n, 0, 50)}
    reason = "undefined: pixels gives all these pairs the same embedding"
    assert found["taco", "pixels"]["note"] == reason
    assert "estimate" not in found["taco", "pixels"]
    for row in noise_ceiling_rows(constant, 0, 10):
        assert row["estimate"] is None
        assert row["note"] == "undefined: distances between tasks are all the same"

    few = _queries(frame=one.frame.iloc[:3].reset_index(drop=True))
    (row,) = cka_rows([few], counts(few.frame), 0, 50)
    assert row["note"] == "undefined: 3 pairs, at least 4 are needed"
    assert {r["estimate"] for r in noise_ceiling_rows(few, 0, 10)} == {None}
