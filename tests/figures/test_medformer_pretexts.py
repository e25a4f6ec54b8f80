"""The figure of pretexts: a panel a target, every pretext named, and what the ranks say."""

import numpy as np
import pandas as pd
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.figures import panels
from medtaskatlas.figures.medformer.pretexts import medformer_pretexts

PRETEXTS = {"deblurring": "generative", "rotation": "transformation", "gamma": "transformation"}


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"set": "brain", "target": target, "labels": 20, "reference": "longer", "score": score,
         "primary": score != "pooled_dice", "pretext": pretext, "family": family,
         "encoder": encoder, "distance": rng.uniform(), "estimate": (g := rng.normal()),
         "ci_low": np.nan if pretext == "gamma" else g - 1, "ci_high": g + 1}
        for target, scores in (("mask", ("dice", "pooled_dice")), ("rotation", ("ssim",)))
        for score in scores for pretext, family in PRETEXTS.items()
        for encoder in ("taco", "pixels")
    ]  # fmt: skip
    ranks = [
        {"set": "brain", "target": target, "labels": 20, "reference": "longer", "encoder": encoder,
         "estimate": r, "ci_low": np.nan, "ci_high": np.nan, "p_adjusted": 0.04, "n_pretexts": 3}
        for target, r in (("mask", -0.53), ("rotation", np.nan)) for encoder in ("taco", "pixels")
    ]  # fmt: skip
    paths = tmp_path / "pretexts.parquet", tmp_path / "ranks.parquet"
    for path, own in zip(paths, (rows, ranks), strict=True):
        pd.DataFrame(own).to_parquet(path)
    return paths


def drawn(tables, encoder="taco"):
    return lambda svg, png: medformer_pretexts(*tables, svg, png, encoder=encoder)


def test_every_pretext_is_named_in_the_panel_of_every_target(tables, tmp_path, monkeypatch):
    # Texts with an edge of white have no comment in the SVG.
    named, label = [], panels.label_points
    monkeypatch.setattr(
        panels, "label_points", lambda *a, **kw: (named.append(set(a[2])), label(*a, **kw))
    )
    text = text_of(
        drawn(tables), tmp_path,
        ["mask, brain", "rotation, brain", "rank correlation -0.53",
         "adjusted p = 0.04, 3 pretexts",
         "no rank correlation", "gain, dice", "gain, ssim", "space of taco"],
    )  # fmt: skip
    # Two panels, drawn twice.
    assert named == [set(PRETEXTS)] * 4
    assert "pooled" not in text


def test_an_encoder_without_distances_is_told(tables, tmp_path):
    text_of(drawn(tables, "random"), tmp_path, ["random knows no pretext"])


def test_a_bad_table_is_named(tables):
    tables[0].unlink()
    refuses_a_bad_table(drawn(tables), tables[0])
