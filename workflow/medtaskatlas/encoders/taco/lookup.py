"""Where each place of an output comes from in its input: a soft look-up and its moments."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

# Channels of :func:`movement` and numbers of :func:`summary`.
MOVEMENT = 8
MOMENTS = 12


def averaging(size: int, to: int) -> torch.Tensor:
    """Matrix [to, size] that averages a line of places to another number by the area they cover.

    As a product it is deterministic on every device, which torch's adaptive pooling is not.
    """
    new, old = np.arange(to + 1) / to, np.arange(size + 1) / size
    upper = np.minimum(new[1:, None], old[None, 1:])
    lower = np.maximum(new[:-1, None], old[None, :-1])
    return torch.from_numpy((np.clip(upper - lower, 0, None) * to).astype(np.float32))


def resized(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Maps float [B, C, H, W] brought to another size by area."""
    if maps.shape[2] != height:
        maps = averaging(maps.shape[2], height).to(maps) @ maps
    if maps.shape[3] != width:
        maps = maps @ averaging(maps.shape[3], width).to(maps).T
    return maps


def places(height: int, width: int) -> torch.Tensor:
    """Places [H * W, 2] of a map: (x, y) from the centre, half the side being one."""
    x = (torch.arange(width, dtype=torch.float32) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, dtype=torch.float32) + 0.5) * (2 / height) - 1
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)


def descriptions(maps: torch.Tensor) -> torch.Tensor:
    """From [B, C, H, W] to [B, H * W, C] on the unit sphere, less what an image's places share."""
    flat = maps.flatten(2)
    flat = flat - flat.mean(dim=2, keepdim=True)
    return nn.functional.normalize(flat, dim=1, eps=1e-3).transpose(1, 2)


def lookup(before: torch.Tensor, after: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """Softmax over places of the input, [B, N, M], of descriptions [B, M, C] and [B, N, C]."""
    return torch.softmax(torch.bmm(after * scale, before.transpose(1, 2)), dim=2)


def movement(
    expected: torch.Tensor, before: torch.Tensor, after: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """Channels that say of each place of the output where it comes from, float [B, N, MOVEMENT].

    ``expected`` [B, N, 3] has means over the shares of :func:`lookup` of the position (x, y) and of
    its squared distance from the centre; ``position`` [N, 2] are :func:`places`. The channels are
    the expected position (x, y) in the input, how far it is from the own position (x, y), the own
    position (x, y), the spread (root of the mean squared distance of the shares from their mean),
    and the cosine of the :func:`descriptions` of the same place on both sides.
    """
    found = expected[..., :2]
    variance = expected[..., 2:] - found.square().sum(dim=2, keepdim=True)
    spread = variance.clamp_min(1e-4).sqrt()
    same = (before * after).sum(dim=2, keepdim=True)
    own = position.expand_as(found)
    return torch.cat([found, found - own, own, spread, same], dim=2)


def summary(fields: torch.Tensor) -> torch.Tensor:
    """Moments of :func:`movement` over the image: an affine map can be read off them linearly.

    float [B, MOMENTS]: mean of the expected position (x, y), of its products with the own position
    (xx, xy, yx, yy), each weighted by certainty; the weights' own second moments (xx, xy, yy);
    certainty; mean squared distance moved; mean cosine at the same place.
    """
    found, moved, own = fields[..., :2], fields[..., 2:4], fields[..., 4:6]
    certain = (1 - fields[..., 6:7]).clamp(0.01, 1)
    weight = certain / certain.sum(dim=1, keepdim=True)
    shift = (weight * found).sum(dim=1)
    linear = (weight * found).transpose(1, 2) @ own
    spread = ((weight * own).transpose(1, 2) @ own).flatten(1)[:, [0, 1, 3]]
    rest = torch.cat(
        [
            certain.mean(dim=1),
            (weight * moved.square().sum(dim=2, keepdim=True)).sum(dim=1),
            fields[..., 7].mean(dim=1, keepdim=True),
        ],
        dim=1,
    )
    return torch.cat([shift, linear.flatten(1), spread, rest], dim=1)
