"""Options of training: each does what it says, and all of it goes on exactly after a kill."""

import json
import logging
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from generated import SPLITS
from medtaskatlas.core.code_hash import PACKAGE
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.kinds.taco import Taco
from medtaskatlas.encoders.taco import machine, optimise
from medtaskatlas.encoders.taco.batches import Batch, batches
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.gradient_cache import Represent, Step
from medtaskatlas.encoders.taco.looks import Looks, _vote, looks_of
from medtaskatlas.encoders.taco.losses import EMPTY, FAILURE
from medtaskatlas.encoders.taco.machine import check_machine, fabric_of
from medtaskatlas.encoders.taco.ranks import Ranks
from medtaskatlas.encoders.taco.rows import composer, training_rows
from medtaskatlas.encoders.train import train
from medtaskatlas.learning.checkpoint import Resume
from medtaskatlas.learning.history import History
from medtaskatlas.learning.state import TrainingState
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank

TINY = {
    "kind": "taco",
    "backbone": "resnet10",
    "width": 8,
    "stem": 3,
    "embedding_dim": 16,
    "steps": 6,
    "batch_tasks": 4,
    "batch_images": 4,
    "learning_rate": 3e-3,
}
NETWORK = {k: TINY[k] for k in ("kind", "backbone", "width", "stem", "embedding_dim")}


@pytest.fixture(scope="module")
def failure_files(pair_files, tmp_path_factory):
    """Failures of the tasks of `pair_files`."""
    root = tmp_path_factory.mktemp("failures")
    paths = []
    for name in ("rotation", "inversion"):
        for file in pair_files[1]:
            paths.append(root / name / file.name)
            amounts = Amounts(20, failures=10)
            outs = {"failure": paths[-1]}
            make_sets(file, load_bank()[name], outs, amounts=amounts, splits=SPLITS, seed=0)
    return paths


def run(pair_files, folder, options=(), **more):
    model = folder / "model.safetensors"
    train(
        *pair_files,
        model,
        encoder={**TINY, **dict(options)},
        **{"seed": 0, "checkpoint": folder / "state", "threads": 1, **more},
    )
    return load_file(model), pq.read_table(folder / "history.parquet")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


EVERYTHING = {
    "memory": {"memory": 40, "loss": "triplet"},
    "classifier and failures": {"cross_entropy": 0.5, "failures": 0.25},
    "accumulate": {"accumulate": 2, "loss": "nt_xent"},
    "looks": {"patience": 5, "look_every": 2, "sampler": "plain"},
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_option_goes_on_exactly(
    pair_files, failure_files, tmp_path, monkeypatch, name
) -> None:
    options = {**EVERYTHING[name], "checkpoint_seconds": 1e-9}
    more = {"failure_paths": failure_files if "failures" in options else ()}
    whole, history = run(pair_files, tmp_path / "whole", options, **more)
    plain, _ = run(pair_files, tmp_path / "plain")
    assert not same(whole, plain), "the option does nothing"
    each = options.get("accumulate", 1)

    def killed(*args):
        for i, batch in enumerate(batches(*args)):
            if i == 3 * each:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(optimise, "batches", killed)
        with pytest.raises(KeyboardInterrupt):
            run(pair_files, tmp_path / "cut", options, **more)
    resumed, history_resumed = run(pair_files, tmp_path / "cut", options, **more)
    assert same(whole, resumed)
    assert history.equals(history_resumed)
    assert set(whole) == set(plain), "the criterion is in the model file"


def test_a_misfitting_checkpoint_is_passed_over_and_says_why(tmp_path, caplog) -> None:
    def state(**more):
        options = Taco(**{**NETWORK, **more})
        network = options.network(0)
        criterion = Criterion(options, network.features, 4, 0)
        parameters = [*network.parameters(), *criterion.parameters()]
        optimiser = torch.optim.AdamW(parameters)
        precision = fabric_of(options).strategy.precision
        return TrainingState(network, criterion, optimiser, History("t", [1.0]), precision)

    path = tmp_path / "state"
    assert not Resume(path, "one").load(state())
    Resume(path, "one").save(state())
    fresh = state()
    fresh.history.losses = []
    assert Resume(path, "one").load(fresh)
    assert fresh.history.losses == [1.0]
    with caplog.at_level(logging.WARNING, "medtaskatlas"):
        assert not Resume(path, "two").load(state())
        before = state(width=16)
        weights = {k: v.clone() for k, v in before.network.state_dict().items()}
        assert not Resume(path, "one").load(before)
        assert same(weights, before.network.state_dict())
        assert not Resume(path, "one").load(state(memory=8))
        path.write_bytes(path.read_bytes()[:1000])
        assert not Resume(path, "one").load(state())
    said = [record.getMessage() for record in caplog.records]
    assert "it is of other data, options or code" in said[0]
    assert "is (8, 12, 3, 3), not (16, 12, 3, 3)" in said[1]
    assert "it has no criterion.memory.embedding" in said[2]
    assert "is damaged" in said[3]


def gradients(contrast, *, evaluated=True, **more):
    """Gradients of all parameters for batches in one contrast."""
    options = Taco(**{**NETWORK, "cross_entropy": 0.3, **more})
    network = options.network(0).train(not evaluated)
    statistics = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    criterion = Criterion(options, network.features, 4, 0)
    parameters = [*network.parameters(), *criterion.parameters()]
    fabric = fabric_of(options)
    represent, optimiser = fabric.setup(Represent(network), torch.optim.AdamW(parameters))
    represent.train(not evaluated)
    loss = Step(fabric, represent, criterion, optimiser, Ranks()).backward(contrast)
    moved = [not torch.equal(v, network.state_dict()[k]) for k, v in statistics.items()]
    return loss, [p.grad for p in parameters], moved


@pytest.fixture
def contrast():
    rng = np.random.default_rng(0)
    label = np.array([0, 0, 1, 1, 2, 2, FAILURE, EMPTY])
    image = np.zeros(8, int)
    return [
        Batch(
            rng.integers(0, 256, (8, 2, 32, 32, 3)).astype(np.uint8),
            label,
            label,
            rng.random(8).astype(np.float32),
            image + number,
        )
        for number in range(3)
    ]


@pytest.mark.parametrize(("loss", "steadiness"), [("supcon", 0), ("triplet", 0), ("supcon", 1)])
def test_cached_gradients_are_those_of_one_large_batch(contrast, loss, steadiness) -> None:
    large = Batch(*(np.concatenate([getattr(b, k) for b in contrast]) for k in vars(contrast[0])))
    one, expected, _ = gradients([large], loss=loss, steadiness=steadiness)
    cached, found, _ = gradients(contrast, loss=loss, steadiness=steadiness)
    assert cached.item() == pytest.approx(one.item(), rel=1e-5)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()) + 1e-7)
    # One batch alone is another loss.
    assert gradients(contrast[:1], loss=loss)[0].item() != pytest.approx(one.item(), rel=1e-3)


def test_statistics_follow_each_cached_batch_once(contrast, monkeypatch) -> None:
    options = Taco(**NETWORK)
    network = options.network(0)
    fabric = fabric_of(options)
    represent, optimiser = fabric.setup(Represent(network), torch.optim.AdamW(network.parameters()))
    step = Step(fabric, represent, Criterion(options, 64, 4, 0), optimiser, Ranks())
    step.backward(contrast)
    twin = options.network(0).train()
    with torch.no_grad():
        for batch in contrast:
            Represent(twin)(batch.pixels)
    for name, value in twin.state_dict().items():
        if "running" in name:
            assert torch.allclose(network.state_dict()[name], value, rtol=1e-5, atol=1e-7), name


def test_shares_and_labels_of_a_batch(pair_files, failure_files) -> None:
    rows = training_rows(*pair_files, failure_files)
    assert set(rows.bank.strings("split")[rows.train]) == {"train"}
    options = Taco(**{**TINY, "failures": 0.2})
    picks = composer(rows, options, 0).picks(5)
    wrong = picks.labels == FAILURE
    assert wrong.sum() == 4
    assert len(wrong) == 20
    of = rows.bank.strings("failure_of")[picks.rows]
    assert [x is not None for x in of] == wrong.tolist()
    plain = composer(rows, Taco(**TINY), 0).picks(5)
    np.testing.assert_array_equal(picks.rows[~wrong], plain.rows)


def test_unchanged_pairs_show_the_images_of_pairs_with_a_severity(pair_files) -> None:
    rows = training_rows(*pair_files)
    composed = composer(rows, Taco(**{**TINY, "steadiness": 1.0}), 0)
    plain = composer(rows, Taco(**TINY), 0).picks(2)
    picks = composed.picks(2)
    unchanged = picks.labels == EMPTY
    for name, value in vars(plain).items():
        np.testing.assert_array_equal(getattr(picks, name)[~unchanged], value)
    graded = ~np.isnan(plain.severities)
    assert 0 < graded.sum() < len(graded)
    np.testing.assert_array_equal(picks.images[unchanged], np.unique(plain.images[graded]))
    # Codes stand for images, and an unchanged pair is its image twice.
    image, dataset = (rows.bank.strings(name)[picks.rows] for name in ("image_id", "dataset"))
    assert len(set(zip(picks.images, dataset, image, strict=True))) == len(set(picks.images))
    number = range(2, 3)
    (batch,) = batches(rows.bank, composed, number)
    sides = batch.pixels[unchanged]
    assert len(sides)
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    for at in np.flatnonzero(unchanged):
        same = np.flatnonzero((picks.images == picks.images[at]) & ~unchanged)
        pixels = rows.bank.gather(picks.rows[same])
        looks = [sides[at - len(plain.rows), 0][::a, ::b] for a in (1, -1) for b in (1, -1)]
        kept = pixels.reshape(-1, *pixels.shape[2:])
        assert any(np.array_equal(look, side) for look in looks for side in kept)


def test_shuffled_labels_keep_their_numbers_and_lose_their_meaning(pair_files) -> None:
    rows = training_rows(*pair_files)
    options = Taco(**{**TINY, "labels": "shuffled"})
    true, shuffled = composer(rows, Taco(**TINY), 0), composer(rows, options, 0)
    names = [c.sampler.tasks[c.sampler.codes] for c in (true, shuffled)]
    assert sorted(names[0]) == sorted(names[1])
    assert (names[0] == names[1]).mean() < 0.5
    np.testing.assert_array_equal(composer(rows, options, 0).sampler.codes, shuffled.sampler.codes)
    other = composer(rows, options, 1).sampler.codes
    assert not np.array_equal(other, shuffled.sampler.codes)


def test_fewer_pairs_a_cell(pair_files, tmp_path) -> None:
    run(pair_files, tmp_path, {"steps": 1}, pairs_per_cell=5)
    facts = json.loads((tmp_path / "config.json").read_text())
    assert facts["n_pairs"] == 8 * 5
    assert facts["role"] == "model"
    one = ([pair_files[0][0], *pair_files[0][2:4]], pair_files[1])
    with pytest.raises(ConfigError, match=r"too few of: \['segmentation'\]"):
        run(one, tmp_path, pairs_per_cell=1)
    with pytest.raises(DataError, match="no pair of a training group is left"):
        run(pair_files, tmp_path, pairs_per_cell=0)
    with pytest.raises(DataError, match="needs failure pairs"):
        run(pair_files, tmp_path, {"failures": 0.1})


def test_the_best_look_is_kept_and_training_stops(pair_files, tmp_path, monkeypatch) -> None:
    seen = iter([0.3, 0.6, 0.5, 0.6, 0.9])
    weights = []

    def accuracy(self, network, device):
        weights.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(seen)

    monkeypatch.setattr(Looks, "accuracy", accuracy)
    options = {"steps": 20, "patience": 2, "look_every": 2}
    found, history = run(pair_files, tmp_path, options)
    assert len(history) == 8
    looks = history["val_accuracy"].to_pylist()
    assert looks == [None, 0.3, None, 0.6, None, 0.5, None, 0.6]
    assert same(found, weights[1])
    assert not same(found, weights[3])


def test_a_look_is_balanced_and_at_groups_not_trained_on(pair_files) -> None:
    rows = training_rows(*pair_files)
    looks = looks_of(rows, every=1, patience=1, seed=0)
    split = rows.bank.strings("split")
    assert set(split[looks.queries]) == {"val"}
    assert set(split[looks.gallery]) == {"train"}
    network = encoder_of(TINY).network(0).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert 0 <= looks.accuracy(network, torch.device("cpu")) <= 1
    assert network.training
    assert same(before, network.state_dict())
    blind = [path for path in pair_files[0] if path.parent.name == "rotation"]
    rows = training_rows(blind, pair_files[1])
    rows = type(rows)(rows.bank, rows.train, rows.val[:0], rows.failures)
    with pytest.raises(DataError, match=r"`patience` looks at validation groups"):
        looks_of(rows, every=1, patience=1, seed=0)


def test_votes_are_by_number_then_by_similarity() -> None:
    angle = torch.tensor([0.0, 0.1, 0.9, 1.0, 1.1, 0.05])
    gallery = torch.stack([angle.cos(), angle.sin()], dim=1)
    votes = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 1, 2]), 3).float()
    query = torch.tensor([[1.0, 0.0]])
    assert _vote(query, gallery, votes).item() == 1
    assert _vote(query, gallery[:4], votes[:4]).item() == 0


def test_mixed_precision_learns_much_the_same(pair_files, tmp_path) -> None:
    _, full = run(pair_files, tmp_path / "full")
    weights, mixed = run(pair_files, tmp_path / "mixed", {"precision": "bf16-mixed"})
    assert {str(v.dtype) for v in weights.values()} == {"torch.float32", "torch.int64"}
    assert not mixed["loss"].equals(full["loss"])
    # The first step differs by rounding alone; then the two part, as any two trainings do.
    for part in (slice(1), slice(None)):
        one, other = (table["loss"].to_numpy()[part].mean() for table in (mixed, full))
        assert one == pytest.approx(other, rel=0.02 if part == slice(1) else 0.1)


def test_what_the_machine_lacks_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="`precision: 16-mixed` needs a GPU"):
        check_machine(Taco(precision="16-mixed"))
    check_machine(Taco(precision="bf16-mixed", devices=2))
    with pytest.raises(ConfigError, match="less than two pairs"):
        check_machine(Taco(devices=3, batch_tasks=2, batch_images=2))
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"`devices: 2` asks for more GPUs than there are: 1"):
        check_machine(Taco(devices=2))


def test_two_processes_learn_what_one_does(pair_files, failure_files, tmp_path) -> None:
    # Everything that is shared: an odd batch, a classifier, a look, cached gradients.
    options = {
        "steps": 3,
        "cross_entropy": 0.5,
        "failures": 0.15,
        "accumulate": 2,
        "patience": 3,
        "learning_rate": 1e-4,
    }
    more = {"failure_paths": failure_files}
    one, history = run(pair_files, tmp_path / "one", options, **more)
    two, shared = run(pair_files, tmp_path / "two", {**options, "devices": 2}, threads=2, **more)
    np.testing.assert_allclose(shared["loss"], history["loss"], rtol=1e-3)
    assert one.keys() == two.keys()
    start = encoder_of(TINY).network(0).state_dict()
    for name, value in one.items():
        if "running" in name:
            assert torch.allclose(two[name], value, rtol=1e-3, atol=1e-4), name
        # A bias before a normalisation has a gradient of zero: Adam takes steps of the noise in it.
        elif value.is_floating_point() and not name.endswith("downsample.0.bias"):
            moved = (value - start[name]).norm()
            assert (two[name] - value).norm() < 0.1 * moved + 1e-6, name


def test_two_processes_have_the_gradient_of_one_and_say_what_is_wrong(
    pair_files, failure_files, tmp_path
) -> None:
    # The second step fails, so the checkpoint holds the moments of the first: its gradients.
    options = {
        "learning_rate": 1e30,
        "cross_entropy": 0.5,
        "failures": 0.15,
        "accumulate": 2,
        "checkpoint_seconds": 1e-9,
    }
    states = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        with pytest.raises(DataError, match=r"loss is nan(.|\n)*learning_rate"):
            run(
                pair_files,
                folder,
                {**options, "devices": devices},
                threads=devices,
                failure_paths=failure_files,
            )
        states.append(load_file(folder / "state"))
    assert len(states[0]["history.losses"]) == 1
    assert states[1]["history.losses"].item() == pytest.approx(states[0]["history.losses"].item())
    names = [name for name in states[0] if name.endswith("exp_avg")]
    largest = max(states[0][name].abs().max() for name in names)
    assert largest > 1e-3
    for name in names:
        one, two = states[0][name], states[1][name]
        assert torch.allclose(two, one, rtol=1e-2, atol=1e-4 * float(largest)), name


SCRIPT = """
import json, sys
from medtaskatlas.encoders.train import train
train(**json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("devices", "number"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (1, signal.SIGINT)]
)
def test_a_request_to_stop_saves_and_a_second_start_goes_on(
    pair_files, tmp_path, devices, number
) -> None:
    options = {"steps": 60, "devices": devices, "checkpoint_seconds": 1e-9}
    folder = tmp_path / "cut"
    arguments = {
        "pair_paths": [str(p) for p in pair_files[0]],
        "image_paths": [str(p) for p in pair_files[1]],
        "model_path": str(folder / "model.safetensors"),
        "encoder": {**TINY, **options},
        "seed": 0,
        "checkpoint": str(folder / "state"),
        "threads": devices,
        "title": "train",
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    process = subprocess.Popen(command, cwd=PACKAGE.parent, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "state").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not (folder / "model.safetensors").exists()
    losses = load_file(folder / "state")["history.losses"].tolist()
    assert 0 < len(losses) < 60
    if devices == 1:
        _, history = run(pair_files, folder, {"steps": 60})
        assert len(history) == 60
        assert history["loss"].to_pylist()[: len(losses)] == losses
