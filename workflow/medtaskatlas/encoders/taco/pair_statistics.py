"""Fixed statistics of a pair: the change as a function of grey level and of frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

# Grey levels of :func:`curves`, and rings and sectors of :func:`spectra`.
LEVELS = 8
RINGS = 10
SECTORS = 2
STATISTICS = 2 * 4 * LEVELS + 3 * RINGS * SECTORS


def curves(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """How the change depends on the grey level, from grey sides [B, H, W] in -1..1.

    float [B, 2 * 4 * LEVELS]: about each level of the input, and of the output, the root of the
    share of pixels, the mean change, its signed root, and the logarithm of its variance.
    """
    # Some thousand pixels are enough: rows are subsampled.
    step = max(1, before.shape[1] // 32)
    before, after = before[:, ::step].flatten(1), after[:, ::step].flatten(1)
    change = after - before
    powers = torch.stack([torch.ones_like(change), change, change.square()], dim=2)
    centre = torch.linspace(-1, 1, LEVELS, device=change.device)[:, None]
    parts = []
    for side in (before, after):
        weight = (side[:, None] - centre).abs_().mul_((1 - LEVELS) / 2).add_(1).clamp_min_(0)
        share, first, second = (weight @ powers / change.shape[1]).unbind(2)
        mean = first / (share + 1e-3)
        variance = (second / (share + 1e-3) - mean.square()).clamp_min(0)
        root = torch.sign(mean) * mean.abs().sqrt()
        parts += [share.sqrt(), mean, root, torch.log(variance + 1e-4)]
    return torch.cat(parts, dim=1)


@lru_cache(maxsize=8)
def _bands(height: int, width: int) -> np.ndarray:
    """float32 [height * (width // 2 + 1), RINGS * SECTORS]: averages bands of a half spectrum."""
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    ring = np.minimum(np.hypot(x, y) * 2 * RINGS, RINGS - 1).astype(int)
    # Along the axes, or aslant: the same for an image and its mirror images.
    aslant = np.abs(np.abs(np.arctan2(y, x)) - np.pi / 4) < np.pi / 8
    band = (ring * SECTORS + aslant).ravel()
    shares = (band[:, None] == np.arange(RINGS * SECTORS)).astype(np.float32)
    return shares / np.maximum(shares.sum(axis=0), 1)


def spectra(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """By band of frequency, log power of the input, and output and change as parts of it."""
    height, width = before.shape[1:]
    window = torch.outer(torch.hann_window(height, False), torch.hann_window(width, False))
    sides = torch.stack([before, after], dim=1)
    sides = (sides - sides.mean(dim=(2, 3), keepdim=True)) * window.to(sides)
    found = torch.fft.rfft2(sides, norm="ortho")
    found = torch.cat([found, found[:, 1:] - found[:, :1]], dim=1)
    power = found.real.square() + found.imag.square()
    bands = torch.from_numpy(_bands(height, width)).to(power)
    levels = torch.log(power.flatten(2) @ bands + 1e-5)
    return torch.cat([levels[:, 0], levels[:, 1] - levels[:, 0], levels[:, 2] - levels[:, 0]], 1)


def statistics(pairs: torch.Tensor) -> torch.Tensor:
    """Measures of the change of grey levels, float32 [B, STATISTICS] without a gradient."""
    with torch.no_grad(), torch.autocast(pairs.device.type, enabled=False):
        before, after = pairs[:, :3].float().mean(dim=1), pairs[:, 3:].float().mean(dim=1)
        return torch.cat([curves(before, after), spectra(before, after)], dim=1)
