"""What holds for every user of the training engine, here TaCo and a toy."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import toy_objective
from safetensors.torch import load_file
from tiny_taco import TINY, same, train_tiny
from toy_objective import HIDDEN, LENGTH, SIZE, Toy, train_toy

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.taco.objective import TacoObjective
from medtaskatlas.learning.checkpoint import Checkpoint, TrainingState
from medtaskatlas.learning.history import History
from medtaskatlas.learning.machine import fabric_of
from medtaskatlas.learning.options import Training
from medtaskatlas.learning.processes import Processes

STEPS = 12
EAGER = {"checkpoint_seconds": 1e-9}
# Users of the engine: what they train with beside their own defaults.
USERS = {
    "toy": {},
    "toy, validated": {"patience": 5, "look_every": 3},
    "taco": {},
    "taco, all parts": {"cross_entropy": 0.5, "failures": 0.15, "steadiness": 0.5},
    "taco, validated": {"sampler": "plain", "patience": 5, "look_every": 3},
    "taco, correspondence": {"fusion": "correspondence", "correspondence": {"tower": 8}},
}


@dataclass
class User:
    """One user of the engine."""

    objective: type
    train: Callable[..., Any]

    def __call__(self, folder: Path, **options: Any) -> tuple[dict[str, torch.Tensor], Any]:
        """Weights and history of a training."""
        folder.mkdir(exist_ok=True)
        self.train(folder, options)
        return load_file(folder / "model.safetensors"), pq.read_table(folder / "history.parquet")


@pytest.fixture
def user(request, pair_files, failure_files, monkeypatch) -> User:
    """The user of the engine that a test is parametrised with."""
    own = USERS[request.param]
    monkeypatch.setenv("PYTHONPATH", str(Path(toy_objective.__file__).parent))

    def toy(folder: Path, options: dict[str, Any]) -> None:
        dropout = options.pop("dropout", 0.3)
        train_toy(folder, {"steps": STEPS, "learning_rate": 3e-3, **own, **options}, dropout)

    def taco(folder: Path, options: dict[str, Any]) -> None:
        options = {k: v for k, v in options.items() if k != "dropout"}
        train_tiny(
            pair_files,
            folder,
            {**TINY, "steps": STEPS, **own, **options},
            threads=options.get("devices", 1),
            failure_paths=failure_files,
        )

    return User(Toy, toy) if request.param.startswith("toy") else User(TacoObjective, taco)


def of_all(users=tuple(USERS)):
    return pytest.mark.parametrize("user", users, indirect=True)


class Killed(BaseException):
    pass


def record(monkeypatch, user: User, kill_at: int | None = None) -> list[Any]:
    """Parts of the loss of each step; the one of step `kill_at` kills."""
    seen, loss = [], user.objective.loss

    def noted(self, model, batch):
        if len(seen) == kill_at:
            raise Killed
        seen.append(loss(self, model, batch))
        return seen[-1]

    monkeypatch.setattr(user.objective, "loss", noted)
    return seen


@of_all()
def test_a_killed_training_ends_as_an_unbroken_one(user, tmp_path, monkeypatch, request) -> None:
    cut = int(generator(0, request.node.name).integers(1, STEPS))
    state = torch.random.get_rng_state()
    whole, history = user(tmp_path / "whole")
    assert torch.equal(torch.random.get_rng_state(), state)
    with monkeypatch.context() as patch:
        record(patch, user, kill_at=cut)
        with pytest.raises(Killed):
            user(tmp_path / "cut", **EAGER)
    assert (tmp_path / "cut/state").is_file()
    assert not (tmp_path / "cut/model.safetensors").exists()
    seen = record(monkeypatch, user)
    resumed, history_resumed = user(tmp_path / "cut", **EAGER)
    assert len(seen) == STEPS - cut, "training began anew"
    assert same(whole, resumed)
    assert history.equals(history_resumed)
    assert not (tmp_path / "cut/state").exists()


@of_all(["toy, validated", "taco, all parts"])
def test_two_processes_learn_what_one_does(user, tmp_path) -> None:
    options = {"steps": 3, "learning_rate": 1e-4, "dropout": 0.0}
    start, _ = user(tmp_path / "start", **{**options, "learning_rate": 1e-30, "steps": 1})
    one, history = user(tmp_path / "one", **options)
    two, shared = user(tmp_path / "two", **options, devices=2)
    np.testing.assert_allclose(shared["loss"], history["loss"], rtol=1e-3)
    assert one.keys() == two.keys()
    if user.objective is Toy:
        counted = [json.loads((tmp_path / n / "cost.json").read_text()) for n in ("one", "two")]
        assert counted[1]["images"] == counted[0]["images"] == 3 * SIZE
        # The first process has the larger part of an odd batch.
        assert counted[1]["flops"] == pytest.approx(counted[0]["flops"], rel=0.1)
    for name, value in one.items():
        if "running" in name:
            assert torch.allclose(two[name], value, rtol=1e-3, atol=1e-4), name
        # A bias before a normalisation has a gradient of zero: Adam takes steps of the noise in it.
        elif value.is_floating_point() and not name.endswith(("downsample.0.bias", "0.bias")):
            moved = (value - start[name]).norm()
            assert (two[name] - value).norm() < 0.1 * moved + 1e-6, name


@of_all(["toy", "taco, correspondence"])
def test_two_processes_have_the_gradient_of_one_and_say_what_is_wrong(user, tmp_path) -> None:
    # The second step fails, so the checkpoint holds the moments of the first: its gradients.
    states = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        with pytest.raises(DataError, match=r"the loss is nan at step 2(.|\n)*`learning_rate`"):
            user(folder, learning_rate=1e30, devices=devices, dropout=0.0, **EAGER)
        states.append(load_file(folder / "state"))
    assert len(states[0]["history.losses"]) == 1
    one, two = (state["history.losses"].item() for state in states)
    assert two == pytest.approx(one, rel=1e-5)
    names = [name for name in states[0] if name.endswith("exp_avg")]
    largest = max(states[0][name].abs().max() for name in names)
    assert largest > 1e-3
    for name in names:
        one, two = states[0][name], states[1][name]
        # Where the gradient is zero but for rounding, so is what is left of it.
        assert (two - one).norm() < 0.03 * one.norm() + 1e-3 * largest, name


@of_all(["toy", "taco"])
def test_the_best_weights_are_kept_and_training_stops(user, tmp_path, monkeypatch) -> None:
    scores, weights = iter([0.3, 0.6, 0.5, 0.6, 0.9]), []

    def validate(self, model):
        assert not model.training
        own = model.network if hasattr(model, "network") else model
        weights.append({k: v.clone() for k, v in own.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(user.objective, "validate", validate)
    found, history = user(tmp_path, steps=20, patience=2, look_every=2)
    assert history[user.objective.score].to_pylist()[1::2] == [0.3, 0.6, 0.5, 0.6]
    assert same(found, weights[1])
    assert not same(found, weights[3])


@of_all(["toy", "taco, all parts"])
def test_parts_of_the_loss_add_up(user, tmp_path, monkeypatch) -> None:
    seen = record(monkeypatch, user)
    _, history = user(tmp_path)
    columns = [name for name in history.column_names if name.startswith("loss.")]
    assert columns == [f"loss.{name}" for name in seen[0]]
    parts = np.stack([history[name].to_numpy() for name in columns])
    np.testing.assert_allclose(parts.sum(axis=0), history["loss"], rtol=1e-6)
    assert len(seen) == STEPS


def test_one_part_has_no_column_of_its_own() -> None:
    history = History("one")
    history.append(torch.tensor(2.0), {"contrast": torch.tensor(2.0)})
    names = history.table(Training(), "val_accuracy").column_names
    assert names == ["step", "loss", "learning_rate", "val_accuracy"]


@of_all(["toy"])
def test_cost_is_counted_over_all_starts(user, tmp_path, monkeypatch) -> None:
    user(tmp_path / "whole")
    with monkeypatch.context() as patch:
        record(patch, user, kill_at=5)
        with pytest.raises(Killed):
            user(tmp_path / "cut", **EAGER)
    user(tmp_path / "cut", **EAGER)
    costs = [json.loads((tmp_path / name / "cost.json").read_text()) for name in ("whole", "cut")]
    products = SIZE * LENGTH * HIDDEN, SIZE * HIDDEN * 2
    for cost in costs:
        assert cost["steps"] == STEPS
        assert cost["images"] == STEPS * SIZE
        assert cost["parameters"] == LENGTH * HIDDEN + 3 * HIDDEN + 2 * HIDDEN + 2 + 1
        # Forward, and backward to the weights and, but for the first layer, to the inputs.
        expected = 2 * STEPS * (2 * products[0] + 3 * products[1])
        assert cost["flops"] == pytest.approx(expected)
        assert cost["cpu_seconds"] > 0
        assert cost["peak_memory_mb"] > 10
        assert (cost["gpu_seconds"] > 0) == torch.cuda.is_available()


def test_a_misfitting_checkpoint_is_passed_over_and_says_why(tmp_path, caplog) -> None:
    def state(width=3, loss_state=None):
        model, loss_state = torch.nn.Linear(width, 2), loss_state or torch.nn.Module()
        optimiser = torch.optim.AdamW([*model.parameters(), *loss_state.parameters()])
        precision = fabric_of(Training()).strategy.precision
        return TrainingState(model, loss_state, optimiser, precision, History("t", [1.0]))

    path = tmp_path / "state"
    assert not Checkpoint(path, "one").load(state())
    Checkpoint(path, "one").save(state())
    fresh = state()
    fresh.history.losses = []
    assert Checkpoint(path, "one").load(fresh)
    assert fresh.history.losses == [1.0]
    with caplog.at_level(logging.WARNING, "medtaskatlas"):
        assert not Checkpoint(path, "two").load(state())
        before = state(width=4)
        weights = {k: v.clone() for k, v in before.model.state_dict().items()}
        assert not Checkpoint(path, "one").load(before)
        assert same(weights, before.model.state_dict())
        assert not Checkpoint(path, "one").load(state(loss_state=torch.nn.Linear(2, 2)))
        path.write_bytes(path.read_bytes()[:100])
        assert not Checkpoint(path, "one").load(state())
    said = [record.getMessage() for record in caplog.records]
    assert "it is of other data, options or code" in said[0]
    assert "model.weight is (2, 3), not (2, 4)" in said[1]
    assert "it has no loss_state.weight" in said[2]
    assert "is damaged" in said[3]


@pytest.mark.parametrize(("size", "world"), [(12, 1), (12, 5), (3, 2)])
def test_parts_make_the_whole(size, world) -> None:
    parts = [list(range(size))[Processes(rank, world).part(size)] for rank in range(world)]
    assert [i for part in parts for i in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


SCRIPT = "import json, sys, toy_objective; toy_objective.train_toy(**json.loads(sys.argv[1]))"


@pytest.mark.parametrize(
    ("devices", "number"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (1, signal.SIGINT)]
)
@of_all(["toy"])
def test_a_request_to_stop_saves_and_a_second_start_goes_on(
    user, tmp_path, devices, number
) -> None:
    options = {"steps": 3000, "devices": devices, **EAGER}
    arguments = {"folder": str(tmp_path), "options": options}
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "state").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not (tmp_path / "model.safetensors").exists()
    losses = load_file(tmp_path / "state")["history.losses"].tolist()
    assert 0 < len(losses) < 3000
    if devices == 1:
        train_toy(tmp_path, {"steps": 3000})
        history = pq.read_table(tmp_path / "history.parquet")
        assert len(history) == 3000
        assert history["loss"].to_pylist()[: len(losses)] == losses
