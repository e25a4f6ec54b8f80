"""Medformer's network: shapes, latents, cells."""

import pytest
import torch

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.medformer.model import (
    Head,
    Medformer,
    Shape,
    Who,
    from_cells,
    to_cells,
)
from medtaskatlas.medformer.options import NetworkOptions

CHEST = Who("XR", "chest", "chest.label")
BRAIN = Who("MR", "brain", "brain.label")
GREY, CUBE = Shape(2, 1), Shape(3, 1)


def model_of(**options):
    model = Medformer(NetworkOptions(**options), seed=0)
    model.add(GREY, [CHEST], [Head("chest.label", "vector", 3), Head("grey", "pixels", 1, 2)])
    model.add(CUBE, [BRAIN], [Head("brain.label", "vector", 2), Head("cube", "pixels", 1, 3)])
    return model.eval()


@pytest.mark.parametrize("stem", ["convolution", "patches"])
def test_one_set_of_weights_takes_pictures_and_volumes_of_all_sizes(stem):
    model = model_of(stem=stem)
    for side in (28, 56):
        pictures, volumes = torch.rand(2, 1, side, side), torch.rand(2, 1, side, side, side)
        said = model.answer(pictures, GREY, CHEST, Head("chest.label", "vector", 3))
        assert said.shape == (2, 3)
        grey = model.answer(pictures, GREY, CHEST, Head("grey", "pixels", 1, 2))
        assert grey.shape == pictures.shape
        assert model.answer(volumes, CUBE, BRAIN, Head("brain.label", "vector", 2)).shape == (2, 2)
        cube = model.answer(volumes, CUBE, BRAIN, Head("cube", "pixels", 1, 3))
        assert cube.shape == volumes.shape


def test_patches_that_do_not_divide_are_refused_and_convolutions_take_any_size():
    images = torch.rand(1, 1, 30, 30)
    with pytest.raises(ConfigError, match=r"patch: 4 does not divide images of 30 pixels"):
        model_of(stem="patches").tokens(images, GREY, CHEST)
    assert model_of().tokens(images, GREY, CHEST).shape[1] == 64


def test_latents_condition_the_tokens_once_something_is_learned():
    model, images = model_of(), torch.rand(2, 1, 28, 28)
    before = [model.tokens(images, GREY, who) for who in (CHEST, Who("MR", "chest", CHEST.task))]
    # What a block adds is zero at first.
    assert torch.equal(*before)
    for layer in (model.condition.attention.out, model.condition.perceptron[-1]):
        torch.nn.init.normal_(layer.weight)
    after = [model.tokens(images, GREY, who) for who in (CHEST, Who("MR", "chest", CHEST.task))]
    assert not torch.allclose(*after)
    model.options = NetworkOptions(latents="none")
    bare = [model.tokens(images, GREY, who) for who in (CHEST, Who("MR", "chest", CHEST.task))]
    assert torch.equal(*bare)


@pytest.mark.parametrize("dims", [2, 3])
def test_what_a_cell_shows_is_put_out_there_before_anything_is_learned(dims):
    """Of attention alone each cell would be put out everywhere alike."""
    shape, who = (GREY, CHEST) if dims == 2 else (CUBE, BRAIN)
    head = Head("grey", "pixels", 1, 2) if dims == 2 else Head("cube", "pixels", 1, 3)
    model = model_of(stem="patches", patch_volume=4)
    images = torch.rand(1, 1, *[16] * dims)
    other = images.clone()
    other[(..., *[slice(4, 8)] * dims)] = 1.0
    said, changed = (model.answer(x, shape, who, head) for x in (images, other))
    cells = to_cells((said - changed).abs(), [4] * dims, 4).mean(dim=2)[0]
    own = sum(4**axis for axis in range(dims))
    others = cells[torch.arange(len(cells)) != own]
    assert cells[own] > 10 * others.max()
    # Cells that are asked alone say the same.
    asked = torch.tensor([[own, 3, 0]])
    tokens = model.tokens(images, shape, who)
    some = model.cells(tokens, shape, who, head.name, images.shape[2:], asked=asked)
    whole = model.cells(tokens, shape, who, head.name, images.shape[2:])
    assert torch.allclose(some, whole[:, asked[0]], atol=1e-6)


def test_an_unknown_latent_is_named_and_none_is_the_mean():
    model = model_of()
    with pytest.raises(ConfigError, match="no latent of the body part 'chets'") as error:
        model.latents.get("body_part", "chets")
    assert "chest" in error.value.remedy
    assert "mean" in error.value.remedy
    both = [model.latents.get("modality", name) for name in ("XR", "MR")]
    assert torch.allclose(model.latents.get("modality", None), sum(both) / 2)


def test_what_is_added_later_leaves_the_rest_as_it_is():
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.add(GREY, [Who("US", "breast", "breast.label")], [Head("breast.label", "vector", 2)])
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert len(after) == len(before) + 5


@pytest.mark.parametrize("size", [(8, 12), (4, 8, 12)])
def test_cells_hold_every_pixel_once(size):
    images = torch.arange(2 * 3 * torch.Size(size).numel()).float().view(2, 3, *size)
    grid = [side // 4 for side in size]
    cells = to_cells(images, grid, 4)
    assert cells.shape == (2, torch.Size(grid).numel(), 3 * 4 ** len(size))
    assert torch.equal(from_cells(cells, grid, 4), images)
    corner = images[(0, slice(None), *[slice(4)] * len(size))]
    assert torch.equal(cells[0, 0], corner.flatten())
