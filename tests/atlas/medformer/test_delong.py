"""The interval and p of a gain in area, beside the test of DeLong et al. (1988).

Ours draws images, theirs rests on a normal distribution and on no draws at all.
"""

import numpy as np
import pandas as pd
import pytest
from same_images import no_duplicates
from scipy.stats import norm

from medtaskatlas.atlas.medformer.gains import medformer_gains
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.formats.multitask import COLUMNS, write_multitask_predictions
from medtaskatlas.medformer.options import Medformer

SECTION = {
    "pretrainings": {"unlabelled": {"pretexts": ["masked"]}},
    "arms": {"single": {}, "ssl": {"start": "unlabelled"}},
}
ARMS = {n: a.model_dump() for n, a in Medformer.model_validate(SECTION).arms.items()}
# How far the two may be apart: ends of the interval as shares of its width, and p. Of 15 simulated
# sets they were 0.027 and 0.026 apart at most.
ENDS, P = 0.05, 0.04


def delong(label, one, other):
    """Difference of two areas on the same images, the ends of its interval, and p."""
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    beats = [
        np.sign(s[positive][:, None] - s[negative]) / 2 + 0.5 for s in (one, other)
    ]  # [positives, negatives] each: 1 won, 0.5 tied, 0 lost
    gain = beats[0].mean() - beats[1].mean()
    variance = sum(
        np.cov([b.mean(axis=axis) for b in beats]) / size
        for axis, size in ((1, len(positive)), (0, len(negative)))
    )
    sd = np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    return gain, gain - 1.96 * sd, gain + 1.96 * sd, 2 * norm.sf(abs(gain) / sd)


def simulated(n, share, gain, together, seed):
    """Labels, and scores of two arms whose errors hang together."""
    rng = np.random.default_rng(seed)
    label = (np.arange(n) < share * n).astype(int)
    common, own = rng.normal(size=n), rng.normal(size=(2, n))
    errors = together * common + np.sqrt(1 - together**2) * own
    return label, (1 + gain) * label + errors[0], label + errors[1]


def gain_of(folder, label, one, other):
    """Estimate, ends of the interval and p of the table, of one set and one seed."""
    paths = []
    for arm, scores in (("ssl", one), ("single", other)):
        said = 1 / (1 + np.exp(-scores))
        rows = {
            "run": "r", "problem": "s", "system": f"{arm}@100", "weighting": "equal", "seed": 0,
            "fold": -1, "split": "test", "dataset": "s", "target": "label", "kind": "class",
            "statistics_kind": "class", "beside": None,
        }  # fmt: skip
        frame = pd.DataFrame({"image_id": [f"i{i}" for i in range(len(label))]}).assign(**rows)
        frame["group_id"] = frame["subject_id"] = frame["image_id"]
        frame["statistics"] = list(np.column_stack([1 - said, said, label]).astype(np.float32))
        facts = {"label": {"kind": "class", "classes": ["no", "yes"], "unit": ""}}
        paths.append(folder / f"{arm}.parquet")
        write_multitask_predictions(paths[-1], frame[list(COLUMNS)], {"targets_of": {"s": facts}})
    out = folder / "medformer_gains.parquet"
    medformer_gains(paths, no_duplicates(folder), out, run="r", arms=ARMS, n_draws=4000)
    table = read_table(out, "medformer_gains")
    row = table[(table["score"] == "macro_auc") & (table["set"] == "s")].iloc[0]
    return row[["estimate", "ci_low", "ci_high", "p"]].astype(float).to_list()


@pytest.mark.parametrize(
    ("n", "share", "gain", "together"),
    [
        (300, 0.5, 0.0, 0.6),
        (300, 0.5, 0.2, 0.6),
        (300, 0.5, 0.8, 0.6),
        (600, 0.1, 0.4, 0.8),
        (400, 0.3, 0.3, 0.0),
    ],
)
def test_a_gain_is_that_of_delong(tmp_path, n, share, gain, together):
    for seed in range(3):
        data = simulated(n, share, gain, together, seed)
        estimate, low, high, p = gain_of(tmp_path, *data)
        wanted, wanted_low, wanted_high, wanted_p = delong(*data)
        assert estimate == pytest.approx(wanted, abs=1e-6)  # of single precision
        width = wanted_high - wanted_low
        assert [low, high] == pytest.approx([wanted_low, wanted_high], abs=ENDS * width)
        assert p == pytest.approx(wanted_p, abs=P)
