"""Convolutions with standardised weights."""

from __future__ import annotations

import torch

from medtaskatlas.networks.convolution import Standardised, picture_stages, volume_stages


def test_scale_and_offset_of_the_filters_do_not_matter() -> None:
    torch.manual_seed(0)
    layer = Standardised(3, 5)
    images = torch.randn(2, 3, 6, 6)
    before = layer(images)
    with torch.no_grad():
        layer.weight.mul_(4).add_(1)
    torch.testing.assert_close(layer(images), before, rtol=1e-3, atol=1e-3)


def test_the_gain_is_of_each_output() -> None:
    layer = Standardised(1, 2)
    images = torch.randn(1, 1, 5, 5)
    before = layer(images) - layer.bias[:, None, None]
    with torch.no_grad():
        layer.gain[1] = 3
    after = layer(images) - layer.bias[:, None, None]
    torch.testing.assert_close(after[:, 0], before[:, 0])
    torch.testing.assert_close(after[:, 1], 3 * before[:, 1])


def test_variance_is_kept_through_relu() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 64, 16, 16)
    for _ in range(4):
        layer = Standardised(64, 64)
        images = layer(images.relu())[:, :, 1:-1, 1:-1]
    assert 0.3 < images.var().item() < 3


def test_each_stage_halves_the_size_and_doubles_the_channels() -> None:
    net = torch.nn.Sequential(*picture_stages(3, 8, 3))
    assert net(torch.rand(2, 3, 28, 28)).shape == (2, 32, 7, 7)
    net = torch.nn.Sequential(*volume_stages(1, 8, 3))
    assert net(torch.rand(2, 1, 28, 28, 28)).shape == (2, 32, 4, 4, 4)
    assert net(torch.rand(2, 1, 13, 9, 8)).shape == (2, 32, 2, 2, 1)
