"""Training and embedding: an encoder learns, is reproducible, and describes every pair."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_taco import TINY, same, train_tiny

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.embed import embed
from medtaskatlas.encoders.kind import CHANNELS
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.network import coordinates, to_input
from medtaskatlas.learning.checkpoint import load_tensors, save_tensors

TACO = TINY | {"coordinates": "texture", "temperature": 0.1, "warmup": 0.1, "weight_decay": 0.01}
META = {"run": "test", "encoder": "taco", "seed": 0, "trained_tasks": [], "trained_datasets": []}


def build(options, seed):
    return encoder_of(options).network(seed)


def test_training_learns_and_is_reproducible(pair_files, tmp_path) -> None:
    encoder = TACO | {"steps": 40}
    weights, history = train_tiny(pair_files, tmp_path / "a", encoder)
    loss = history["loss"].to_numpy()
    assert len(loss) == 40
    assert loss[-8:].mean() < loss[:8].mean() - 0.3
    again, _ = train_tiny(pair_files, tmp_path / "b", encoder)
    assert same(weights, again)
    other, _ = train_tiny(pair_files, tmp_path / "c", encoder, seed=1)
    assert not same(weights, other)


def test_initial_weights_come_from_the_seed_and_leave_torch_alone() -> None:
    state = torch.random.get_rng_state()
    first, second, other = build(TACO, 3), build(TACO, 3), build(TACO, 4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(first.state_dict(), second.state_dict())
    assert not same(first.state_dict(), other.state_dict())


def test_input_is_scaled_and_ordered() -> None:
    pixels = np.zeros((1, 2, 4, 4, 3), np.uint8)
    pixels[0, 1, :, :, 2] = 255
    x = to_input(pixels, torch.device("cpu"))
    assert x.shape == (1, 6, 4, 4)
    assert x[0, 5].eq(1).all()
    assert x[0, :5].eq(-1).all()


def test_coordinates_hold_the_pair_and_show_difference_and_texture() -> None:
    pairs = torch.rand(2, 6, 9, 9) * 2 - 1
    assert coordinates(pairs, "sides") is pairs
    shown = coordinates(pairs, "texture")
    mean, root = shown[:, :3], shown[:, 3:6]
    half = torch.sign(root) * root**2 / 2
    assert torch.allclose(torch.cat([mean - half, mean + half], 1), pairs, atol=1e-5)
    assert torch.equal(shown[:, :6], coordinates(pairs, "difference"))
    # The texture of a plane is nothing, borders included; of a single bright pixel, eight ninths.
    flat = torch.full((1, 6, 9, 9), 0.5)
    assert coordinates(flat, "texture")[:, 3:].abs().max() < 1e-3
    flat[0, 4, 4, 4] += 0.27
    assert coordinates(flat, "texture")[0, 10, 4, 4].item() == pytest.approx(0.24**0.5, abs=1e-4)
    assert {k: coordinates(pairs, k).shape[1] for k in CHANNELS} == CHANNELS


@pytest.mark.parametrize("backbone", ["resnet10", "resnet18", "resnet34", "resnet50"])
def test_embeddings_lie_on_the_sphere(backbone) -> None:
    network = build({**TACO, "backbone": backbone}, 0).eval()
    with torch.inference_mode():
        points = network(torch.randn(3, 6, 32, 32))
    assert points.shape == (3, 16)
    assert torch.allclose(points.norm(dim=1), torch.ones(3), atol=1e-5)


def test_embedding_file(pair_files, tmp_path) -> None:
    train_tiny(pair_files, tmp_path, TACO)
    model, out = tmp_path / "model.safetensors", tmp_path / "e.parquet"
    embed(*pair_files, out, encoder=TACO, model=model, threads=1, meta=META)
    table = pq.read_table(out)
    assert len(table) == 160
    assert len(set(table["pair_id"].to_pylist())) == 160
    assert table.schema.field("embedding").type.list_size == 16
    with pytest.raises(DataError, match="was trained with"):
        embed(*pair_files, out, encoder={**TACO, "width": 16}, model=model, threads=1, meta=META)
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(DataError, match=r"is damaged(.|\n)*remedy: delete"):
        embed(*pair_files, out, encoder=TACO, model=model, threads=1, meta=META)


def test_baselines_embed(pair_files, tmp_path) -> None:
    out = tmp_path / "e.parquet"
    embed(*pair_files, out, encoder={"kind": "pixels"}, model=None, threads=1, meta=META)
    pixels = pq.read_table(out)
    assert pixels.schema.field("embedding").type.list_size > 100
    control = {"kind": "random", "backbone": "resnet10", "width": 8, "stem": 7}
    _, history = train_tiny(pair_files, tmp_path, control)
    assert len(history) == 0
    embed(
        *pair_files,
        out,
        encoder=control,
        model=tmp_path / "model.safetensors",
        threads=1,
        meta=META,
    )
    assert pq.read_table(out).schema.field("embedding").type.list_size == 3 * 64


def test_tensors_round_trip(tmp_path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3, dtype=torch.int64)}
    save_tensors(tmp_path / "t", tensors, {"k": [1]})
    read, facts = load_tensors(tmp_path / "t")
    assert facts == {"k": [1]}
    assert same(tensors, read)
