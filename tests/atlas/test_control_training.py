"""Controls by training fail where something was learned that must not be, and else pass."""

import numpy as np
import pandas as pd
import pytest

import atlas_synthetic as synthetic
from medtaskatlas.atlas.controls import against_untrained, input_only
from medtaskatlas.atlas.predictions import EncoderPredictions, MethodPredictions, Predictions


def asked(guess, model_right=lambda frame: 1):
    """Predictions of a blind encoder that says what `guess` makes of the frame, and of a model."""
    frame = synthetic.make_frame()
    frame = frame[frame["split"] == "test"].reset_index(drop=True)
    named = guess(frame)
    correct = (named == frame["task"].to_numpy(dtype=object)).astype(np.float32)[None]
    said = MethodPredictions({"correct": correct}, named[None], named[None])
    encoder = EncoderPredictions("blind", "taco", "control", "input_only", [0], {"knn": said})
    truth = frame["task"].to_numpy(dtype=object)[None]
    shares = np.full(truth.shape, model_right(frame), np.float32)
    right = MethodPredictions({"correct": shares}, truth, truth)
    model = EncoderPredictions("taco", "taco", "model", None, [0], {"knn": right})
    return Predictions(frame, [encoder, model]), encoder


def run(guess, **model):
    chosen, encoder = asked(guess, **model)
    return input_only(encoder, chosen, "groups", seed=0, n_draws=200)


def by_image(frame):
    """One answer an image, whatever its task: all that the input alone can give."""
    tasks = sorted(set(frame["task"]))
    code = pd.factorize(frame["dataset"] + frame["image_id"])[0]
    return np.array(tasks, dtype=object)[np.random.default_rng(0).permutation(len(tasks))[code % 9]]


def test_an_encoder_that_sees_only_the_image_is_at_chance():
    row = run(by_image)
    assert row["passed"]
    assert row["estimate"] == pytest.approx(0, abs=1e-9)


def test_where_no_model_names_more_the_control_was_not_run():
    """That the blind name at chance what nobody names proves nothing: null, and why."""

    def as_blind(frame):
        return by_image(frame) == frame["task"].to_numpy(dtype=object)

    row = run(by_image, model_right=as_blind)
    assert row.get("passed") is None
    assert "no model is shown to name these tasks better" in row["note"]
    assert row["ci_low"] <= 0 <= row["ci_high"]


def test_an_encoder_that_knows_a_little_more_fails():
    def guess(frame):
        named = by_image(frame)
        lucky = np.arange(len(frame)) % 5 == 0
        named[lucky] = frame["task"].to_numpy(dtype=object)[lucky]
        return named

    row = run(guess)
    assert not row["passed"]
    assert row["estimate"] > 0.1


def test_training_must_help_and_shuffled_labels_must_not():
    common = {
        "contrast": "pair", "other": "random", "other_kind": "random", "split": "groups",
        "measure": "balanced_accuracy", "estimate": 0.1, "seed_sd": None, "ci_high": 0.2,
        "ci_method": "x", "n_pairs": 1, "n_images": 1, "n_groups": 9, "n_subjects": 9,
        "n_datasets": 1, "note": None,
    }  # fmt: skip
    rows = [
        {**common, "encoder": "taco", "ci_low": 0.05},
        {**common, "encoder": "weak", "ci_low": -0.05},
        {**common, "encoder": "shuffled", "ci_low": -0.05},
        {**common, "encoder": "leaky", "ci_low": 0.05},
        {**common, "encoder": "pixels", "ci_low": 0.05},
    ]
    beaten = {**common, "other": "shuffled", "other_kind": "taco"}
    rows += [
        {**beaten, "encoder": "taco", "ci_low": 0.05},
        {**beaten, "encoder": "taco", "other": "leaky", "ci_low": 0.05},
    ]
    role = {"taco": "model", "weak": "model", "pixels": "baseline", "random": "baseline"}
    role |= dict.fromkeys(["shuffled", "leaky"], "control")
    found = list(against_untrained(pd.DataFrame(rows), role, ["shuffled", "leaky"]))
    assert [(row["encoder"], row["control"].split()[0], row["passed"]) for row in found] == [
        ("taco", "beats_untrained", True),
        ("weak", "beats_untrained", False),
        ("shuffled", "shuffled_labels", True),
        ("leaky", "shuffled_labels", False),
    ]
    # Where no model is better than it, that it does not help proves nothing.
    (row,) = [
        row
        for row in against_untrained(pd.DataFrame(rows[:-2]), role, ["shuffled"])
        if row["encoder"] == "shuffled"
    ]
    assert row["passed"] is None
    assert "proves nothing" in row["note"]
