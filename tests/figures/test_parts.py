"""The parts that figures are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medtaskatlas.figures.contact_sheets import spread_rows
from medtaskatlas.figures.frames import by_family, count_text, each_text, family_order, plain
from medtaskatlas.figures.panels import spread
from medtaskatlas.figures.projection import balanced
from medtaskatlas.figures.severity_curves import choose_encoders
from medtaskatlas.figures.style import FAMILY_COLOURS, encoder_colours
from medtaskatlas.figures.trajectories import choose_tasks, plane


def test_labels_end_up_apart_and_inside():
    rng = np.random.default_rng(0)
    anchor = rng.normal(100, 15, size=(30, 2))
    half = np.tile([30.0, 6.0], (30, 1))
    low, high = np.full((30, 2), 0.0) + half, np.full((30, 2), 400.0) - half
    centre = spread(anchor, half, low, high)
    apart = np.abs(centre[:, None] - centre[None])
    covered = (apart < 2 * half[None] - 0.5).all(axis=-1) & ~np.eye(30, dtype=bool)
    assert not covered.any()
    assert (centre >= low).all()
    assert (centre <= high).all()


def test_labels_at_one_point_part():
    centre = spread(
        np.full((5, 2), 50.0), np.full((5, 2), 4.0), np.zeros((5, 2)), np.full((5, 2), 100.0)
    )
    apart = np.abs(centre[:, None] - centre[None]).max(axis=-1)
    assert (apart[~np.eye(5, dtype=bool)] > 7.5).all()


def test_families_come_in_one_order():
    families = {"rotation": "transformation", "b": "semantic", "a": "semantic", "x": "mine"}
    assert by_family(families) == ["a", "b", "rotation", "x"]
    assert family_order(families.values()) == ["semantic", "transformation", "mine"]
    assert plain("bias_field_correction") == "bias field correction"


def test_no_encoder_looks_like_a_family():
    colours = encoder_colours(["taco", "pixels", "random", "imagenet", "clip", "mine", "yours"])
    assert len(set(colours.values())) == len(colours)
    assert not set(colours.values()) & set(FAMILY_COLOURS.values())
    assert colours["taco"] == encoder_colours(["taco"])["taco"]


def test_counts_in_words():
    n = {"n_pairs": [5, 1200], "n_groups": [1, 1], "n_subjects": [1, 1], "n_datasets": [1, 2]}
    rows = pd.DataFrame(n)
    fewer = rows.assign(n_groups=[2, 3], n_subjects=[2, 1])
    assert count_text(fewer) == "1,200 pairs, 3 groups of 1 subject, 2 datasets"
    assert each_text(fewer, "a task") == "up to 1,200 pairs of 3 groups of 1 subject a task"
    assert count_text(rows) == "1,200 pairs, 1 group, 2 datasets"
    assert count_text(rows.iloc[:0]) == ""


def test_a_balanced_choice_takes_all_cells_alike():
    frame = pd.DataFrame({"task": ["a"] * 90 + ["b"] * 10, "dataset": ["d"] * 100})
    rows = balanced(frame, 20, seed=0)
    assert frame.iloc[rows]["task"].value_counts().to_dict() == {"a": 10, "b": 10}
    assert (rows == balanced(frame, 20, seed=0)).all()
    assert len(balanced(frame, 500, seed=0)) == 100


def test_contact_sheets_show_every_split_and_many_groups():
    splits = np.array(["train"] * 60 + ["val"] * 3 + ["test"] * 20, dtype=object)
    groups = np.array([f"g{i // 4}" for i in range(83)], dtype=object)
    rows = spread_rows(splits, groups, 10)
    assert len(rows) == len(set(rows)) == 10
    assert set(splits[rows]) == {"train", "val", "test"}
    assert len(set(groups[rows])) >= 8
    assert spread_rows(splits[:3], groups[:3], 10) == [0, 1, 2]


def test_rotation_brightness_and_noise_come_first_then_families_in_turn():
    families = {
        "rotation": "transformation", "shear": "transformation", "scaling": "transformation",
        "brightness": "transformation", "deblurring": "generative", "inpainting": "generative",
    }  # fmt: skip
    pairs = pd.DataFrame({"task": list(families), "family": list(families.values())})
    six = choose_tasks(pairs)
    assert six[:2] == ["rotation", "brightness"]
    assert set(six) == set(families)
    assert choose_tasks(pairs, ["shear", "absent"]) == ["shear"]


def test_the_plane_keeps_plane_trajectories_and_turns_them_to_the_right():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    flat = rng.normal(size=(5, 11, 2)) + np.linspace(0, -6, 11)[None, :, None]
    spots, mean, share = plane(flat @ basis)
    assert share == pytest.approx(1)
    assert mean[-1, 0] > mean[0, 0]
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(spots, axis=1), axis=-1),
        np.linalg.norm(np.diff(flat, axis=1), axis=-1),
    )
    assert np.isnan(plane(np.ones((2, 3, 4)))[2])


def test_a_trained_encoder_a_baseline_and_the_control_are_always_shown():
    roles = {
        "taco": "model", "taco_a": "model", "taco_b": "ablation", "taco_c": "model",
        "imagenet": "baseline", "pixels": "baseline", "raw_pixels": "control",
    }  # fmt: skip
    rows = pd.DataFrame({"encoder": list(roles), "role": list(roles.values())})
    assert choose_encoders(rows) == ["taco", "taco_a", "imagenet", "raw_pixels"]
    assert choose_encoders(rows[rows["role"].isin(["baseline", "control"])]) == [
        "imagenet",
        "pixels",
        "raw_pixels",
    ]
    assert choose_encoders(rows, ["taco_b", "absent"]) == ["taco_b"]
