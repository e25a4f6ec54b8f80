"""Gains of arms as what a part is worth."""

import pytest

from medtaskatlas.atlas.medformer.ablations import medformer_ablations
from medtaskatlas.atlas.tables import read_table, write_table

ARMS = {
    "multi": {"latents": "all", "stems": "shared", "align": "none", "sets": "all"},
    "task": {"latents": "task", "stems": "shared", "align": "none", "sets": "all"},
    "bare": {"latents": "none", "stems": "shared", "align": "none", "sets": "all"},
    "stems": {"latents": "all", "stems": "set", "align": "none", "sets": "all"},
    "aligned": {"latents": "all", "stems": "shared", "align": "coral", "sets": "all"},
}
ROW = {
    "run": "r", "set": "all", "labels": 100, "split": "test", "target": "label",
    "duplicates": "kept",
    "score": "macro_auc", "estimate": -0.02, "seed_sd": 0.01, "ci_low": -0.05, "ci_high": 0.03,
    "ci_method": "bootstrap", "p": 0.2, "p_adjusted": 0.4, "p_family": "f",
    "n_images": 60, "n_groups": 60, "n_subjects": 60, "n_datasets": 2,
}  # fmt: skip


def ablations(folder, *pairs):
    """Rows by part, of gains of pairs (arm, reference, differs)."""
    gains, out = folder / "medformer_gains.parquet", folder / "medformer_ablations.parquet"
    rows = [ROW | dict(zip(("arm", "reference", "differs"), pair, strict=True)) for pair in pairs]
    write_table("medformer_gains", rows, gains, {"run": "r"})
    medformer_ablations(gains, out, run="r", arms=ARMS)
    return read_table(out, "medformer_ablations").set_index("part")


def test_what_is_left_out_is_told_as_its_worth(tmp_path):
    """A loss of .02 of the arm without a part is a worth of .02 of it."""
    found = ablations(
        tmp_path,
        ("task", "multi", "latents"), ("bare", "multi", "latents"), ("bare", "task", "latents"),
        ("stems", "multi", "stems"),
    )  # fmt: skip
    pairs = {part: (row["arm"], row["without"]) for part, row in found.iterrows()}
    assert pairs == {
        "modality_and_body_part": ("multi", "task"),
        "latents": ("multi", "bare"),
        "task": ("task", "bare"),
        "shared_stem": ("multi", "stems"),
    }
    assert (found["estimate"] == 0.02).all()
    assert (found["ci_low"] == -0.03).all()
    assert (found["ci_high"] == 0.05).all()
    assert (found["p_adjusted"] == 0.4).all()


def test_a_gain_of_the_part_itself_stays_as_it_is(tmp_path):
    pairs = [("aligned", "multi", "align"), ("multi", "multi_wrong_latents", "wrong_latents")]
    found = ablations(tmp_path, *pairs)
    assert set(found.index) == {"alignment", "right_latents"}
    assert (found["estimate"] == -0.02).all()
    assert found.loc["right_latents", "without"] == "multi_wrong_latents"


def test_other_comparisons_are_no_ablations(tmp_path):
    assert ablations(tmp_path, ("ssl", "single", "start"), ("ssl", "longer", "matched")).empty


def test_without_an_estimate_the_reason_stays(tmp_path):
    none = {"estimate": None, "ci_low": None, "ci_high": None, "p": None, "p_family": None}
    gain = ROW | none | {"p_adjusted": None, "note": "undefined", "arm": "bare"}
    path, out = tmp_path / "g.parquet", tmp_path / "a.parquet"
    rows = [gain | {"reference": "multi", "differs": "latents"}]
    write_table("medformer_gains", rows, path, {"run": "r"})
    medformer_ablations(path, out, run="r", arms=ARMS)
    (row,) = read_table(out, "medformer_ablations").to_dict("records")
    assert row["note"] == "undefined"
    assert row["estimate"] != pytest.approx(0)
