"""Graded codes: what a code must do, and that a training on simple tasks learns it."""

import numpy as np
import pytest
import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.embed import embed
from medtaskatlas.encoders.graded.network import Doer, GradedEncoder
from medtaskatlas.encoders.graded.objective import GradedObjective, Partners, log_error
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.pairbank import training_rows
from medtaskatlas.encoders.train import train
from medtaskatlas.formats.embeddings import open_embedding
from medtaskatlas.learning.processes import Processes

SMALL = {
    "kind": "taco_graded", "backbone": "resnet10", "width": 8, "stem": 3, "embedding_dim": 8,
    "doing_width": 4, "batch_tasks": 4, "batch_images": 2, "steps": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(pair_files):
    return training_rows(*pair_files)


def test_partners_are_of_the_same_task_and_dataset_and_another_image(rows):
    partners = Partners(rows, rows.train)
    rng = np.random.default_rng(0)
    at = partners.draw(4, 6, rng)
    assert len(at) == 24
    assert len(set(partners.codes[at])) == 4
    task, dataset, image = rows.names(rows.train)
    other = partners.of(at, rng)
    assert (task[at] == task[other]).all()
    assert (dataset[at] == dataset[other]).all()
    assert (image[at] != image[other]).all()
    # Of each task both datasets, alike.
    assert all(len(set(dataset[at[i : i + 6]])) == 2 for i in range(0, 24, 6))


def test_a_batch_is_a_function_of_the_step(rows):
    made = encoder_of(SMALL)
    one, other = (made.objective(made.network(0), rows, 0, Processes()) for _ in range(2))
    first, again, next_one = one.batch(3), other.batch(3), one.batch(4)
    assert np.array_equal(first.shown, again.shown)
    assert np.array_equal(first.asked, again.asked)
    assert not np.array_equal(first.shown, next_one.shown)
    assert len(first) == 8


def test_what_is_done_depends_on_the_code_and_its_error_is_that_by_hand():
    torch.manual_seed(0)
    network = GradedEncoder(("resnet10", 8, 3), code=6, doing_width=4, contrasted=False).eval()
    for layer in network.doer.modules():
        if hasattr(layer, "modulation"):
            torch.nn.init.normal_(layer.modulation.weight, std=0.5)
    pairs = torch.rand(5, 6, 32, 32) * 2 - 1
    code, other = torch.randn(2, 5, 6)
    before, after = pairs.chunk(2, dim=1)
    with torch.inference_mode():
        done = network.doer(before, code)
        assert done.shape == after.shape
        assert not torch.allclose(done, network.doer(before, other))
        by_hand = torch.log((done - after).square().mean(dim=(1, 2, 3)) + 1e-3)
        torch.testing.assert_close(log_error(network, code, pairs), by_hand)


@pytest.mark.parametrize("side", [28, 33])
def test_sizes_that_do_not_halve_are_done_too(side):
    doer = Doer(4, 6)
    assert doer(torch.rand(2, 3, side, side), torch.rand(2, 6)).shape == (2, 3, side, side)


def test_simple_tasks_are_learned_and_their_codes_lie_apart(pair_files, tmp_path):
    options = SMALL | {"steps": 120, "learning_rate": 0.003, "batch_images": 4, "doing_width": 6}
    made = encoder_of(options)
    network, rows = made.network(0), training_rows(*pair_files)
    objective = made.objective(network, rows, 0, Processes())
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.003)
    missed = []
    for step in range(options["steps"]):
        parts = objective.loss(objective.model, objective.batch(step))
        missed.append(float(parts["doing"].detach()))
        optimiser.zero_grad()
        sum(parts.values()).backward()
        optimiser.step()
    assert np.mean(missed[-20:]) < np.mean(missed[:20]) - 0.7
    # The code of another task does a pair's task worse than one of its own.
    network.eval()
    with torch.inference_mode():
        batch = objective.batch(10_000)
        own = objective.model(batch.shown, batch.asked)[0]
        turned = np.roll(batch.shown, options["batch_images"], axis=0)
        other = objective.model(turned, batch.asked)[0]
    assert float((other - own).mean()) > 0.3


@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_it_is_trained_resumed_and_embedded_like_any_encoder(pair_files, tmp_path, contrast):
    options = SMALL | {"contrast": contrast, "patience": 2, "look_every": 2}
    made = encoder_of(options)
    assert made.role == "model"
    paths = [tmp_path / name / "model.safetensors" for name in ("one", "two")]
    for path in paths:
        train(
            *pair_files, path, encoder=made.options(), seed=0,
            checkpoint=tmp_path / "state.safetensors", threads=1,
        )  # fmt: skip
    assert paths[0].read_bytes() == paths[1].read_bytes()
    out = tmp_path / "e.parquet"
    meta = {"run": "r", "encoder": "graded", "seed": 0, "trained_tasks": [], "trained_datasets": []}
    embed(*pair_files, out, encoder=made.options(), model=paths[0], threads=1, meta=meta)
    file = open_embedding(out)
    assert file.dim == 8
    assert file.facts["standardise"]


def test_contrast_has_a_head_of_its_own(rows):
    made = encoder_of(SMALL | {"contrast": 1.0})
    objective = made.objective(made.network(0), rows, 0, Processes())
    assert isinstance(objective, GradedObjective)
    parts = objective.loss(objective.model, objective.batch(0))
    assert set(parts) == {"doing", "length", "contrast"}
    alone = encoder_of(SMALL)
    objective = alone.objective(alone.network(0), rows, 0, Processes())
    assert set(objective.loss(objective.model, objective.batch(0))) == {"doing", "length"}


def test_validation_without_pairs_is_refused(pair_files, rows, monkeypatch):
    made = encoder_of(SMALL | {"patience": 1})
    few = type(rows)(rows.bank, rows.train, rows.val[:1], rows.failures)
    with pytest.raises(DataError, match="less than two pairs"):
        made.objective(made.network(0), few, 0, Processes())


def test_several_processes_are_refused():
    with pytest.raises(ValueError, match="trained by one process"):
        encoder_of(SMALL | {"devices": 2})
