"""Figures of variance shares and of the geometry of encoders."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.figures.geometry import geometry, square
from medtaskatlas.figures.variance_shares import variance_shares

SHARES = {"taco": (0.8, 0.01), "pixels": (0.3, 0.3), "random": (0.15, 0.2)}
N = {"n_pairs": 1200, "n_images": 60, "n_groups": 9, "n_datasets": 3}


def _separation(splits=("groups", "datasets")):
    rows = []
    for split in splits:
        for encoder, (task, dataset) in SHARES.items():
            shares = {"task": task, "family": task / 3, "dataset": dataset, "interaction": -0.001}
            if split == "groups":
                shares["modality"] = dataset / 2
            rows += [
                {"run": "r", "encoder": encoder, "split": split, "measure": "omega_squared",
                 "factor": factor, "within": within, "estimate": value, "ci_low": value - 0.05,
                 "ci_high": value + 0.05, **N}
                for factor, value in shares.items()
                for within in ("crossed", "crossed_all_families")
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _comparisons():
    rows = []
    for split in ("groups", "datasets"):
        common = {"run": "r", "contrast": "geometry", "split": split, "p_adjusted": np.nan, **N}
        pairs = [("taco", "pixels", 0.31), ("taco", "random", -0.05), ("pixels", "random", 0.62)]
        for one, other, value in pairs:
            sides = {"encoder": one, "other": other, "estimate": value, "method": "x"}
            rows.append(common | sides | {"measure": "cka_debiased"})
            p = 0.001 if value > 0.5 else 0.2
            rows.append(common | sides | {"measure": "mantel_spearman", "p_adjusted": p})
        for encoder, method, value in (
            ("taco", "seeds", 0.91),
            ("taco", "groups", 0.93),
            ("pixels", "groups", 0.88),
        ):
            own = {"encoder": encoder, "other": encoder, "method": method, "estimate": value}
            rows.append(common | own | {"measure": "noise_ceiling_low"})
        own = {"encoder": "taco", "other": "taco", "method": "embedding", "estimate": 0.77}
        rows.append(common | own | {"measure": "cka_debiased"})
    rows.append(rows[0] | {"contrast": "pair", "measure": "balanced_accuracy", "estimate": 0.4444})
    return pd.DataFrame(rows)


MADE = {
    "shares": (variance_shares, _separation),
    "geometry": (geometry, _comparisons),
}
WORDS = {
    "shares": ["Held-out groups", "Held-out datasets", "1,200 pairs, 9 groups", "modality",
               "0.80", "not defined", "task × dataset"],
    "geometry": ["Held-out groups", "debiased CKA", "Spearman", ".31", ".62*", "-.05", ".91",
                 ".88", ".77", "framed"],
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_figure_is_whole_and_the_same_twice(name, tmp_path):
    draw, make = MADE[name]
    make().to_parquet(tmp_path / "t.parquet")
    text = text_of(lambda *out: draw(tmp_path / "t.parquet", *out), tmp_path, WORDS[name])
    assert "-0.00" not in text
    assert "0.44" not in text
    width = cv2.imread(str(tmp_path / "new" / "f.png")).shape[1]
    assert width < 1.05 * 7.2 * 150  # fits a printed page


def test_longer_bars_are_larger_shares(tmp_path):
    made = {}
    for share in (0.2, 0.9):
        rows = _separation(("groups",))
        rows.loc[(rows["encoder"] == "taco") & (rows["factor"] == "task"), "estimate"] = share
        rows["ci_low"] = rows["ci_high"] = np.nan
        rows.to_parquet(tmp_path / "t.parquet")
        variance_shares(tmp_path / "t.parquet", tmp_path / "f.svg", tmp_path / "f.png")
        picture = cv2.imread(str(tmp_path / "f.png")).astype(int)
        purple = np.abs(picture - [0xA7, 0x79, 0xCC]).max(axis=-1) < 8
        made[share] = purple.any(axis=0).nonzero()[0]
    # Beside the task, taco has a bar for its families only, and that one is the same in both.
    assert len(made[0.9]) > 2 * len(made[0.2])


def test_the_matrix_is_symmetric_and_its_diagonal_over_seeds_where_there_are_some():
    rows = _comparisons()
    rows = rows[(rows["contrast"] == "geometry") & (rows["split"] == "groups")]
    matrix, stars = square(rows, "mantel_spearman", ["pixels", "random", "taco"])
    expected = [[0.88, 0.62, 0.31], [0.62, np.nan, -0.05], [0.31, -0.05, 0.91]]
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(stars, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool))
    matrix, _ = square(rows, "cka_debiased", ["pixels", "random", "taco"])
    assert matrix[2, 2] == 0.77
    assert np.isnan(matrix[0, 0])


@pytest.mark.parametrize("name", MADE)
def test_no_rows_still_make_a_figure(name, tmp_path):
    draw, make = MADE[name]
    make().assign(estimate=np.nan).to_parquet(tmp_path / "t.parquet")
    draw(tmp_path / "t.parquet", tmp_path / "a.svg", tmp_path / "a.png")
    assert "no c" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("name", MADE)
def test_a_bad_table_is_a_clear_error(name, tmp_path):
    path = tmp_path / "t.parquet"
    refuses_a_bad_table(lambda *out: MADE[name][0](path, *out), path)
