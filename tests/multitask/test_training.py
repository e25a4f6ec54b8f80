"""Trials, trainings and what they write."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from medtaskatlas.core.code_hash import modules_behind
from medtaskatlas.core.errors import DataError, DivergedError
from medtaskatlas.formats.multitask import read_multitask_predictions
from medtaskatlas.formats.multitask_examples import read_examples
from medtaskatlas.formats.multitask_training import read_cost, read_history, read_trials
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.multitask import train as train_module
from medtaskatlas.multitask import training
from medtaskatlas.multitask import tune as tune_module
from medtaskatlas.multitask.options import Multitask
from medtaskatlas.multitask.represent import represent
from medtaskatlas.multitask.train import chosen, train_system
from medtaskatlas.multitask.tune import candidate_weights, search, tune
from medtaskatlas.problems import targets as kinds_of_targets
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.evaluate import evaluate
from medtaskatlas.problems.problem import COMPANION, Problem
from medtaskatlas.problems.targets import load_kinds

TARGETS = ("mask", "label", COMPANION)
SYSTEMS = {
    "stl": {},
    "hps": {"weighting": "tuned"},
    "pairs": {},
    "wide": {"system": "stl_wide", "like": "hps"},
    "full": {"system": "ums_rep", "strategy": "full"},
}


class Run:
    """A folder with trainings of one problem."""

    def __init__(self, folder, path, *, targets=TARGETS, folds=None, **options):
        self.folder, self.path = folder, path
        section = {"steps": 6, "trial_steps": 2, "trials": 4, "look_every": 3, "width": 4}
        section |= {"learning_rates": [1e-3, 4e-3], "batch_size": 8, "checkpoint_seconds": 1e-6}
        self.options = Multitask.model_validate(section | {"systems": SYSTEMS} | options)
        self.problem = Problem("p", (path.stem,), tuple(targets), folds)

    def facts(self, name):
        facts = {"problem": self.problem.facts(), "name": name}
        return facts | {"options": self.options.model_dump(mode="json")}

    def job(self, name, seed=0, **more):
        return training.Job.of([self.path], self.facts(name), seed=seed, split_seed=0, **more)

    def where(self, name):
        return {"states": self.folder / "states" / name, "threads": 1}

    def tune(self, name, **more):
        out = self.folder / name / "trials.json"
        tune(self.job(name, **more), out, **self.where(name))
        return out

    def train(self, name, seed=0, trials=None, **more):
        out = self.folder / name / f"seed{seed}"
        train_system(
            self.job(name, seed, **more),
            trials or self.tune(name, **more),
            out / "model.safetensors",
            run="r",
            **self.where(name),
        )
        return out


def frame_of(out):
    return read_multitask_predictions(out / "predictions.parquet")[0]


@pytest.mark.parametrize(("name", "trainings"), [("stl", 3), ("hps", 1), ("pairs", 3)])
def test_every_image_has_statistics_of_every_target(tmp_path, dataset, name, trainings):
    run = Run(tmp_path, dataset())
    out = run.train(name)
    frame = frame_of(out)
    assert set(frame["split"]) == {"val", "test"}
    times = 2 if name == "pairs" else 1
    for _, rows in frame.groupby(["split", "target"]):
        assert set(Counter(rows["image_id"]).values()) == {times}
    if name == "pairs":
        both = set(zip(frame["target"], frame["beside"], strict=True))
        assert both == {(a, b) for a in TARGETS for b in TARGETS if a != b}
    else:
        assert frame["beside"].isna().all()
    facts = json.loads((out / "config.json").read_text())
    assert len(facts["trainings"]) == trainings
    cost = read_cost(out / "cost.json")
    assert cost["total"]["steps"] == trainings * 6
    assert cost["tuning"]["steps"] == trainings * 4 * 2
    assert len(cost["trainings"]) == trainings
    assert set(read_history(out / "history.parquet")["target"]) == set(TARGETS)
    assert not list((tmp_path / "states").glob("*/*"))
    examples = read_examples(out / "examples.arrow")
    assert set(examples.column("image_id").to_pylist()) <= set(frame["image_id"])
    assert set(examples.meta["targets"]) == set(TARGETS)


def test_all_systems_show_the_same_images(tmp_path, dataset):
    run = Run(tmp_path, dataset())
    files = [read_examples(run.train(name) / "examples.arrow") for name in ("stl", "hps")]
    one, other = files
    for column in ("image_id", "image", "truth.mask", f"input.{COMPANION}"):
        np.testing.assert_array_equal(one.numpy(column), other.numpy(column))
    assert not np.array_equal(one.numpy("output.label"), other.numpy("output.label"))


def test_images_are_shown_that_have_a_target(tmp_path, dataset):
    """However few they are among those of the test split, every fifth image here."""
    there = [i % 5 != 4 or i < 20 for i in range(200)]
    columns = {
        "label": [i % 3 if there[i] else None for i in range(200)],
        "value.area": [float(i % 7) if there[i] else None for i in range(200)],
    }
    path = dataset(n=200, groups=200, side=16, mask=None, **columns)
    run = Run(tmp_path, path, targets=("label", "value.area"), learning_rates=[], steps=3)
    file = read_examples(run.train("hps", trials=run.tune("stl")) / "examples.arrow")
    assert set(file.column("image_id").to_pylist()) == {f"image{i}" for i in (4, 9, 14, 19)}
    assert np.isfinite(file.numpy("truth.value.area")).all()


def test_with_folds_every_image_is_tested_once(tmp_path, dataset):
    run = Run(tmp_path, dataset(), targets=("mask", "label"), folds=3, learning_rates=[])
    out = run.train("hps", trials=run.tune("stl"))
    frame = frame_of(out)
    cost = read_cost(out / "cost.json")
    assert cost["total"]["steps"] == 3 * 6
    assert cost["total"]["parameters"] == cost["trainings"][0]["parameters"]
    assert set(json.loads((out / "config.json").read_text())["notes"]) == {"0", "1", "2"}
    tested = frame[(frame["split"] == "test") & (frame["target"] == "label")]
    assert sorted(tested["image_id"]) == sorted(f"image{i}" for i in range(40))
    assert set(tested["fold"]) == {0, 1, 2}


@pytest.mark.parametrize("at", [4, 11])
def test_cut_off_at_any_step_it_ends_the_same(tmp_path, dataset, at, monkeypatch):
    path = dataset()
    whole = Run(tmp_path / "whole", path, learning_rates=[])
    left = Run(tmp_path / "left", path, learning_rates=[])
    expected = whole.train("stl")
    batch, count = ProblemData.batch, iter(range(1000))

    def breaks(self, step, targets=None):
        if next(count) == at:
            raise KeyboardInterrupt
        return batch(self, step, targets)

    with monkeypatch.context() as patched:
        patched.setattr(ProblemData, "batch", breaks)
        with pytest.raises(KeyboardInterrupt):
            left.train("stl")
    out = left.train("stl")
    assert frame_of(out).equals(frame_of(expected))
    tensors = [load_tensors(o / "model.safetensors")[0] for o in (out, expected)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(bool((tensors[0][k] == tensors[1][k]).all()) for k in tensors[0])
    steps = [read_cost(o / "cost.json")["total"]["steps"] for o in (out, expected)]
    assert steps == [18, 18]


def test_the_test_split_is_read_when_all_trainings_have_ended(tmp_path, dataset, monkeypatch):
    events = []
    fit, opened = training.fit, ProblemData.open_test
    monkeypatch.setattr(training, "fit", lambda *a, **k: (events.append("fit"), fit(*a, **k))[1])
    monkeypatch.setattr(
        ProblemData, "open_test", lambda self: (events.append("test"), opened(self))[1]
    )
    Run(tmp_path, dataset(), learning_rates=[]).train("stl")
    assert events == ["fit"] * 3 + ["test"]


def test_the_best_look_is_kept(tmp_path, dataset):
    run = Run(tmp_path, dataset(), learning_rates=[], learning_rate=0.5)
    out = run.train("hps", trials=run.tune("stl"))
    facts = json.loads((out / "config.json").read_text())["trainings"][0]
    assert facts["best_step"] in (3, 6)
    assert facts["steps"] == 6


def test_each_system_has_the_same_number_of_trials(tmp_path, dataset):
    run = Run(tmp_path, dataset())
    for name, networks in (("stl", 3), ("hps", 1)):
        trials = read_trials(run.tune(name))
        by_training = Counter(tuple(t["targets"]) for t in trials)
        assert list(by_training.values()) == [4] * networks
        for targets in by_training:
            own = [t for t in trials if tuple(t["targets"]) == targets]
            best = max(t["score"] for t in own)
            assert [t["score"] for t in own if t["chosen"]] == [best]
            rate, weights = chosen(trials, list(targets), -1, [])
            assert rate > 0
            assert (weights is None) == (name == "stl")


class Scored:
    def __init__(self, score):
        self.score = score


def test_the_search_finds_a_maximum_of_separate_coordinates():
    tried = []

    def attempt(setting):
        tried.append(setting)
        rate, weights = setting
        return Scored(-abs(np.log(rate / 2e-3)) - abs(weights[0] - 1.6))

    found = list(search([3e-4, 1e-3, 3e-3], candidate_weights(2), 9, attempt))
    assert len(found) == len(set(tried)) == 9
    best = max(found, key=lambda one: one[1].score)[0]
    assert best[1] == (1.6, 0.4)
    assert best[0] == pytest.approx(2e-3, rel=0.2)
    assert not list(search([1e-3], [()], 9, attempt))


def test_a_trial_that_diverges_is_lost_and_the_others_count(tmp_path, dataset, monkeypatch):
    run = Run(tmp_path, dataset())
    train = training.Job.train

    def diverges(self, *arguments, learning_rate, **more):
        if learning_rate > 2e-3:
            raise DivergedError("the loss is nan at step 1", "")
        return train(self, *arguments, learning_rate=learning_rate, **more)

    monkeypatch.setattr(training.Job, "train", diverges)
    trials = read_trials(run.tune("stl"))
    lost = [t for t in trials if t["score"] is None]
    assert {t["learning_rate"] > 2e-3 for t in lost} == {True}
    assert chosen(trials, ["mask"], -1, [])[0] <= 2e-3
    run.options = run.options.model_copy(update={"learning_rates": [3e-3, 4e-3]})
    with pytest.raises(DataError, match="all 4 trials of stl on p"):
        run.tune("stl")


def test_weights_are_equal_or_one_is_heavier():
    for n in (2, 3, 5):
        weights = candidate_weights(n)
        assert len(weights) == n + 1
        assert all(sum(w) == pytest.approx(n) for w in weights)


def test_without_a_chosen_trial_it_says_so():
    with pytest.raises(DataError, match="no trial of mask"):
        chosen([], ["mask"], -1, [1e-3, 3e-3])


def test_a_wide_network_has_the_parameters_of_the_other(tmp_path, dataset):
    run = Run(tmp_path, dataset(), learning_rates=[])
    trials = run.tune("stl")
    one, other = (
        read_cost(run.train(name, trials=trials) / "cost.json") for name in ("hps", "wide")
    )
    wanted = one["trainings"][0]["parameters"]
    assert all(abs(t["parameters"] - wanted) <= 0.02 * wanted for t in other["trainings"])


def test_a_representation_is_where_fine_tuning_starts(tmp_path, dataset):
    run = Run(tmp_path, dataset(), learning_rates=[], learning_rate=1e-9)
    alone = Run(tmp_path / "alone", run.path, targets=(COMPANION,), learning_rates=[])
    alone.options = Multitask.model_validate(
        alone.options.model_dump(mode="json") | {"systems": {"representation": {"system": "hps"}}}
    )
    weights = tmp_path / "MR.safetensors"
    represent(alone.job("representation"), weights, **alone.where("representation"))
    learned, facts = load_tensors(weights)
    out = run.train("full", trials=run.tune("stl"), representation=weights)
    tuned = load_tensors(out / "model.safetensors")[0]
    for name, tensor in learned.items():
        if name.startswith("encoder."):
            np.testing.assert_allclose(tuned[f"-1.0.{name}"], tensor, atol=1e-6)
    assert read_cost(out / "cost.json")["pretraining"]["steps"] == facts["cost"]["steps"] == 6


def test_a_network_is_evaluated_without_gradients(tmp_path, dataset, monkeypatch):
    """In trials as after training, and no longer than it is evaluated."""
    asked = []

    def recorded(data, split, forward, *args, **more):
        def asking(images, rows):
            outputs = forward(images, rows)
            asked.append(any(o.requires_grad for o in outputs.values()))
            return outputs

        assert not torch.is_inference_mode_enabled()
        return evaluate(data, split, asking, *args, **more)

    monkeypatch.setattr(tune_module, "evaluate", recorded)
    monkeypatch.setattr(train_module, "evaluate", recorded)
    Run(tmp_path, dataset()).train("hps")
    assert asked
    assert not any(asked)


def test_a_state_is_of_the_code_of_targets_and_of_the_other_system(tmp_path, dataset, monkeypatch):
    """Those that are found by their folder or name and imported by nobody, the user's own too."""
    behind = []

    def recorded(*names):
        behind.extend(modules_behind(*names))
        return "0"

    monkeypatch.setattr(training, "code_hash", recorded)
    monkeypatch.setattr(kinds_of_targets, "code_hash", recorded)
    own = tmp_path / "own"
    own.mkdir()
    run = Run(tmp_path, dataset(), targets_dir=str(own))
    facts = run.facts("wide")
    job = training.Job.of([run.path], facts, seed=0, split_seed=0)
    before = job._fingerprint([])
    assert {kind.__module__ for kind in load_kinds().values()} <= set(behind)
    assert f"{training.__name__.rpartition('.')[0]}.systems.hps" in behind
    assert job._fingerprint([]) == before
    (own / "mine.py").write_text("x = 1")
    assert job._fingerprint([]) != before


def test_validation_without_any_score_is_an_error(tmp_path, dataset):
    labels = [None if i % 20 % 5 == 2 else i % 2 for i in range(40)]
    run = Run(tmp_path, dataset(label=labels), targets=("mask", "label"), learning_rates=[])
    with pytest.raises(DataError, match="validation images have no score of label"):
        run.train("stl")
