"""Pretexts: each has one right answer, and a model can learn it."""

from pkgutil import iter_modules

import numpy as np
import pytest
import torch
from torch.nn import functional

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.medformer import pretexts
from medtaskatlas.medformer.model import Medformer, Shape, Who, from_cells, to_cells
from medtaskatlas.medformer.options import NetworkOptions
from medtaskatlas.medformer.pretexts import PRETEXTS, pretext_of
from medtaskatlas.medformer.pretexts.masked import HIDDEN
from medtaskatlas.medformer.pretexts.turns import TURNS

IMAGES = {
    2: np.random.default_rng(0).integers(0, 255, (4, 1, 28, 28)).astype(np.uint8),
    3: np.random.default_rng(1).integers(0, 255, (4, 1, 16, 16, 16)).astype(np.uint8),
}


def made(name, dims, side=None):
    """Pretext, model, shape, latents, and what was drawn; of the first pixels of a side."""
    pretext, shape, who = pretext_of(name), Shape(dims, 1), Who("CT", "chest", name)
    model = Medformer(NetworkOptions(), seed=0)
    for one in (shape, *pretext.needs(shape)):
        model.add(one, [who], pretext.heads(shape))
    images = IMAGES[dims][(..., *[slice(side)] * dims)]
    grid = model.grid(shape, images.shape[2:])
    return pretext, model, shape, who, pretext.draw(images, grid, np.random.default_rng(2))


CASES = [(n, d) for n in [*PRETEXTS, "deblurring"] for d in (2, 3)]


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_every_pretext_has_a_loss_with_gradients_for_all_that_it_uses(name, dims):
    if not pretext_of(name).fits(Shape(dims, 1)):
        assert (name, dims) in {("projection", 2), ("deblurring", 3)}
        return
    pretext, model, shape, who, drawn = made(name, dims)
    loss = pretext.loss(model, shape, who, drawn)
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.stems.parameters())
    assert all(p.grad is not None for p in model.heads.parameters())


def test_files_and_the_registry_are_the_same():
    files = {found.name for found in iter_modules(pretexts.__path__)}
    assert files == {*PRETEXTS, "bank", "pretext"}
    with pytest.raises(ConfigError, match="no pretext is called 'maskd'") as error:
        pretext_of("maskd")
    assert "masked" in error.value.remedy


def test_hidden_pixels_do_not_reach_the_body():
    """With other grey levels in hidden cells the loss alone may change, no gradient of a token."""
    pretext, model, shape, who, drawn = made("masked", 2)
    seen = []
    model.norm.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    pretext.loss(model, shape, who, drawn)
    grid = model.grid(shape, (28, 28))
    visible = drawn["order"][:, : seen[0].shape[1]]
    cells = to_cells(drawn["images"], grid, 4)
    hidden = torch.ones(4, 49).scatter(1, visible, 0)[:, :, None]
    other = {**drawn, "images": from_cells(cells * (1 - hidden) + 0.3 * hidden, grid, 4)}
    pretext.loss(model, shape, who, other)
    assert torch.equal(*seen)
    assert 0 < seen[0].shape[1] < 49


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("dims", "side"), [(2, 28), (2, 26), (3, 16), (3, 12)])
def test_asking_hidden_cells_alone_gives_the_loss_of_decoding_all(dims, side, binary):
    pretext, model, shape, who, drawn = made("masked", dims, side)
    if binary:
        drawn |= {"images": (drawn["images"] > 0.5).float(), "binary": torch.tensor(True)}
    seen = []
    model.norm.register_forward_hook(lambda module, given, out: seen.append(out))
    loss = pretext.loss(model, shape, who, drawn)
    size = drawn["images"].shape[2:]
    grid, pitch, head = model.grid(shape, size), model.pitch(shape), pretext.heads(shape)[0].name
    said = model.cells(seen[0], shape, who, head, size)
    picture = model.pixels(seen[0], shape, who, head, size)
    if side % pitch == 0:
        assert torch.equal(to_cells(picture, grid, pitch), said)
    visible = round(said.shape[1] * (1 - HIDDEN))
    hides = torch.ones(said.shape[:2]).scatter(1, drawn["order"][:, :visible], 0)
    true = to_cells(drawn["images"], grid, pitch)
    if binary:
        error = functional.binary_cross_entropy_with_logits(said, true, reduction="none")
    else:
        spread = (true.var(dim=2, keepdim=True) + 1e-3).sqrt()
        error = (said - (true - true.mean(dim=2, keepdim=True)) / spread).square()
    whole = (error.mean(dim=2) * hides).sum() / hides.sum()
    assert loss.item() == pytest.approx(whole.item(), abs=1e-5)


def test_black_and_white_volumes_are_learned_as_occupancy():
    pretext, model, shape, who, drawn = made("masked", 3)
    assert not drawn["binary"]
    white = np.where(IMAGES[3] > 127, 255, 0).astype(np.uint8)
    grid = model.grid(shape, white.shape[2:])
    loss = pretext.loss(model, shape, who, pretext.draw(white, grid, np.random.default_rng(2)))
    assert 0.5 < loss.item() < 1  # near log 2 before training


@pytest.mark.parametrize("dims", [2, 3])
def test_turns_differ_and_the_first_is_none(dims):
    turned = {np.rot90(IMAGES[dims][0], k, axes).tobytes() for axes, k in TURNS[dims]}
    assert len(turned) == len(TURNS[dims]) == (4 if dims == 2 else 10)
    assert np.array_equal(np.rot90(IMAGES[dims][0], TURNS[dims][0][1]), IMAGES[dims][0])


def test_a_pair_of_the_bank_is_input_and_output():
    pretext, _, _, _, drawn = made("inversion", 2)
    assert torch.allclose(drawn["true"], 1 - drawn["images"], atol=0.02)
    assert pretext.name == "inversion"


def test_projection_belongs_to_its_volume():
    _, _, _, _, drawn = made("projection", 3)
    found = [IMAGES[3].mean(axis=axis) for axis in (2, 3, 4)]
    scaled = [255 * f / f.max(axis=(1, 2, 3), keepdims=True) for f in found]
    assert any(np.allclose(drawn["pictures"] * 255, f, atol=0.6) for f in scaled)
