"""Figures of trajectories and failures: whole, legible, and the same twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from set_synthetic import HELDOUT, make_set_run
from whole import text_of

from medtaskatlas.atlas.failures.table import failures as failures_table
from medtaskatlas.atlas.trajectories.table import trajectories as trajectories_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.figures.failures import failures
from medtaskatlas.figures.severity_curves import choose_encoders, severity_curves
from medtaskatlas.figures.trajectories import choose_tasks, plane, trajectories


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = make_set_run(tmp_path_factory.mktemp("set_run"))
    options = {"run": "synthetic", "heldout_datasets": HELDOUT, "n_draws": 50}
    made["trajectories"] = made["folder"] / "trajectories.parquet"
    made["failures"] = made["folder"] / "failures.parquet"
    trajectories_table(
        made["main"], made["trajectory"], made["pairs"]["trajectory"], made["images"],
        made["trajectories"], **options,
    )  # fmt: skip
    failures_table(made["main"], made["failure"], made["failures"], **options)
    return made


DRAWN = {
    "trajectories": lambda run, svg, png: trajectories(
        run["main"][0], run["trajectory"][0], svg, png, encoder="taco", heldout_datasets=HELDOUT
    ),
    "severity_curves": lambda run, svg, png: severity_curves(run["trajectories"], svg, png),
    "failures": lambda run, svg, png: failures(run["failures"], svg, png, encoder="taco"),
    "accepted": lambda run, svg, png: failures(
        run["failures"], svg, png, encoder="taco", measure="accepted_rate"
    ),
}
# Words that a reader must find.
WORDS = {
    "trajectories": [
        "taco, held-out datasets",
        "rotation",
        "not trained on",
        "8 images, 1 dataset",
    ],
    "severity_curves": [
        "Held-out datasets",
        "task not trained on",
        "raw pixels",
        "severity",
        "8 images, 1 dataset",
    ],
    "failures": ["held-out groups", "half done", "no number", "AUC", "3 datasets"],
    "accepted": ["held-out datasets", "another image", "named as the task"],
}


@pytest.mark.parametrize("name", WORDS)
def test_a_figure_is_whole_and_the_same_twice(run, name, tmp_path):
    text_of(lambda *out: DRAWN[name](run, *out), tmp_path, WORDS[name])


def test_what_is_not_there_is_said(run, tmp_path):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    failures(run["failures"], svg, png, encoder="absent")
    assert "no failure of absent on held-out pairs" in svg.read_text()
    severity_curves(run["trajectories"], svg, png, encoders=["absent"])
    assert "no trajectory outside training" in svg.read_text()
    trajectories(
        run["main"][0], run["trajectory"][0], svg, png, encoder="taco", tasks=["absent"],
        heldout_datasets=HELDOUT,
    )  # fmt: skip
    assert "no trajectory of taco outside training" in svg.read_text()
    with pytest.raises(DataError, match=r"none\.parquet is missing"):
        failures(tmp_path / "none.parquet", svg, png, encoder="taco")


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
