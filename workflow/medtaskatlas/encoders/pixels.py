"""The `pixels` baseline: what an engineer would compute of a pair without learning.

A strong baseline on purpose: grey-level statistics of both sides and of their difference, how well
a grey-level map explains one side by the other, radial spectra, gradients, agreement with mirrored
copies, registration by phase correlation (shift) and by Fourier-Mellin (angle and zoom), and the
border strip.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

HISTOGRAM_BINS = 16
SPECTRUM_RINGS = 12
MAP_BINS = 32
BORDER = 2
THUMBNAIL = 16
_TINY = 1e-6


def pixel_features(pairs: np.ndarray) -> np.ndarray:
    """Features float32 [B, D], of different scales, of pairs uint8 [B, 2, H, W, 3]."""
    height, width = pairs.shape[2:4]
    luma = cv2.cvtColor(pairs.reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
    luma = luma.reshape(-1, 2, height, width)
    grey = luma.astype(np.float32) / 255
    before, after = grey[:, 0], grey[:, 1]
    difference = after - before
    groups = [
        _histograms(before, 0, 1),
        _histograms(after, 0, 1),
        _histograms(difference, -1, 1),
        _moments(before),
        _moments(after),
        _moments(difference),
        _moments(np.abs(difference)),
        _gradients(before, after),
        _radial_spectra(before),
        _radial_spectra(after),
        _radial_spectra(difference),
        _grey_maps(before, after),
        _mirrors(before, after),
        _registration(before, after),
        _borders(before, after),
        _colours(pairs, luma),
    ]
    return np.concatenate(groups, axis=1).astype(np.float32)


def _histograms(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Shares of pixels in equal bins [B, bins]."""
    n, size = len(values), values[0].size
    code = ((values.reshape(n, -1) - low) * (HISTOGRAM_BINS / (high - low))).astype(np.int64)
    code = np.clip(code, 0, HISTOGRAM_BINS - 1) + HISTOGRAM_BINS * np.arange(n)[:, None]
    counts = np.bincount(code.ravel(), minlength=n * HISTOGRAM_BINS)
    return np.sqrt(counts.reshape(n, HISTOGRAM_BINS) / size)


def _moments(values: np.ndarray) -> np.ndarray:
    """Mean, spread, skewness and extreme quantiles [B, 7]."""
    flat = values.reshape(len(values), -1)
    mean, spread = flat.mean(axis=1), flat.std(axis=1)
    centred = flat - mean[:, None]
    # Multiplied out: numpy's power of three costs more than all the rest.
    skew = (centred * centred * centred).mean(axis=1) / (spread**3 + 1e-3)
    # Quantiles of every fourth pixel: sorting them all costs more than all other features.
    ordered = np.sort(flat[:, ::4], axis=1)
    at = (np.array([0.02, 0.25, 0.75, 0.98]) * (ordered.shape[1] - 1)).astype(int)
    quantiles = ordered[:, at].T
    return np.stack([mean, spread, skew, *quantiles], axis=1)


def _gradients(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Strength of first and second differences of each side, and their log ratios [B, 12]."""

    def strengths(x: np.ndarray) -> np.ndarray:
        second = 4 * x[:, 1:-1, 1:-1] - x[:, :-2, 1:-1] - x[:, 2:, 1:-1]
        second = second - x[:, 1:-1, :-2] - x[:, 1:-1, 2:]
        parts = [np.diff(x, axis=2), np.diff(x, axis=1), second]
        flat = [p.reshape(len(x), -1) for p in parts]
        return np.stack([*(np.abs(f).mean(axis=1) for f in flat), np.median(np.abs(flat[2]), 1)], 1)

    a, b = strengths(before), strengths(after)
    return np.concatenate([a, b, np.log((b + 1e-3) / (a + 1e-3))], axis=1)


@cache
def _rings(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ring number of every frequency of a real FFT, and the size of each ring."""
    y = np.fft.fftfreq(height)[:, None]
    x = np.fft.rfftfreq(width)[None, :]
    radius = np.sqrt(x**2 + y**2) / 0.5
    ring = np.minimum((radius * SPECTRUM_RINGS).astype(int), SPECTRUM_RINGS - 1).ravel()
    return ring, np.bincount(ring, minlength=SPECTRUM_RINGS)


def _radial_spectra(values: np.ndarray) -> np.ndarray:
    """Log power in rings of spatial frequency [B, rings]."""
    n = len(values)
    power = np.abs(np.fft.rfft2(values - values.mean(axis=(1, 2), keepdims=True))) ** 2
    ring, size = _rings(*values.shape[1:])
    code = ring + SPECTRUM_RINGS * np.arange(n)[:, None]
    total = np.bincount(code.ravel(), power.reshape(n, -1).ravel(), n * SPECTRUM_RINGS)
    return np.log(total.reshape(n, SPECTRUM_RINGS) / size + 1e-3)


def _grey_maps(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Correlation, and the share of each side that a map of the other's grey levels explains."""
    n = len(before)
    x, y = before.reshape(n, -1), after.reshape(n, -1)

    def explained(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        code = np.minimum((source * MAP_BINS).astype(np.int64), MAP_BINS - 1)
        code += MAP_BINS * np.arange(n)[:, None]
        count = np.bincount(code.ravel(), minlength=n * MAP_BINS)
        total = np.bincount(code.ravel(), target.ravel(), n * MAP_BINS)
        mean = total / np.maximum(count, 1)
        left = ((target - mean[code]) ** 2).mean(axis=1)
        return left / (target.var(axis=1) + 1e-4)

    return np.stack([_correlation(x, y), explained(x, y), explained(y, x)], axis=1)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson correlation of the rows of two matrices."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return (x * y).sum(axis=1) / (scale + _TINY)


def _mirrors(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Correlation of the output with the mirrored and turned input [B, 5]."""
    n = len(before)
    copies = [
        before[:, :, ::-1],
        before[:, ::-1],
        before[:, ::-1, ::-1],
        np.rot90(before, 1, (1, 2)),
        np.rot90(before, -1, (1, 2)),
    ]
    return np.stack(
        [
            _correlation(c.reshape(n, -1), after.reshape(n, -1))
            if c.shape == after.shape
            else np.zeros(n)
            for c in copies
        ],
        axis=1,
    )


def _phase_peak(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak of the phase correlation of two stacks: (x, y, |x|, |y|, height) [B, 5]."""
    cross = np.fft.rfft2(b) * np.conj(np.fft.rfft2(a))
    surface = np.fft.irfft2(cross / (np.abs(cross) + _TINY), s=a.shape[1:])
    flat = surface.reshape(len(a), -1)
    at = flat.argmax(axis=1)
    y, x = np.divmod(at, a.shape[2])
    y = np.where(y > a.shape[1] / 2, y - a.shape[1], y) / a.shape[1]
    x = np.where(x > a.shape[2] / 2, x - a.shape[2], x) / a.shape[2]
    height = np.take_along_axis(flat, at[:, None], axis=1)[:, 0]
    return np.stack([x, y, np.abs(x), np.abs(y), height], axis=1)


def _registration(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Shift by phase correlation; angle and zoom by Fourier-Mellin (Reddy, Chatterji 1996)."""
    height, width = before.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    a = (before - before.mean(axis=(1, 2), keepdims=True)) * window
    b = (after - after.mean(axis=(1, 2), keepdims=True)) * window
    centre = (width / 2, height / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_POLAR_LOG

    def polar(x: np.ndarray) -> np.ndarray:
        spectra = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(x), axes=(1, 2)))).astype(np.float32)
        maps = [cv2.warpPolar(s, (48, 64), centre, min(centre), flags) for s in spectra]
        stack = np.stack(maps)
        return stack - stack.mean(axis=(1, 2), keepdims=True)

    turn = _phase_peak(polar(a), polar(b))
    # The spectrum of a real image looks the same half a turn further.
    turn[:, 1] -= 0.5 * np.round(2 * turn[:, 1])
    turn[:, 3] = np.abs(turn[:, 1])
    return np.concatenate([_phase_peak(a, b), turn], axis=1)


def _borders(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean and spread of the border strip of both sides and of their difference [B, 6]."""

    def strip(x: np.ndarray) -> np.ndarray:
        parts = (x[:, :BORDER], x[:, -BORDER:], x[:, :, :BORDER], x[:, :, -BORDER:])
        return np.concatenate([p.reshape(len(x), -1) for p in parts], axis=1)

    a, b = strip(before), strip(after)
    stats = [f for s in (a, b, np.abs(b - a)) for f in (s.mean(axis=1), s.std(axis=1))]
    return np.stack(stats, axis=1)


def _colours(pairs: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Colourfulness, shares of black and of white, number of grey levels, of both sides [B, 8]."""
    n = len(pairs)
    red, green, blue = (pairs[..., c].astype(np.int16).reshape(n, 2, -1) for c in range(3))
    spread = (np.abs(red - green) + np.abs(green - blue)).mean(axis=2) / 255
    code = luma.reshape(n, 2, -1) + 256 * np.arange(2 * n).reshape(n, 2, 1)
    counts = np.bincount(code.ravel(), minlength=2 * n * 256).reshape(n, 2, 256)
    size = luma[0, 0].size
    black, white = counts[..., :3].sum(axis=2) / size, counts[..., 253:].sum(axis=2) / size
    return np.concatenate([spread, black, white, (counts > 0).mean(axis=2)], axis=1)


def measures(pairs: np.ndarray) -> np.ndarray:
    """Fixed measures of the change, as `fusion: correspondence` is given them, float32 [B, 124]."""
    import torch

    from medtaskatlas.encoders.network import to_input
    from medtaskatlas.encoders.taco.pair_statistics import statistics

    return np.asarray(statistics(to_input(pairs, torch.device("cpu"))).numpy())


def thumbnails(pairs: np.ndarray) -> np.ndarray:
    """Grey levels of both sides in 0..1 at 16 x 16 pixels, and of the change, float32 [B, 768]."""
    luma = cv2.cvtColor(pairs.reshape(-1, pairs.shape[3], 3), cv2.COLOR_RGB2GRAY)
    luma = luma.reshape(-1, *pairs.shape[2:4])
    small = [cv2.resize(one, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for one in luma]
    sides = np.stack(small).reshape(len(pairs), 2, -1).astype(np.float32) / 255
    return np.concatenate([sides[:, 0], sides[:, 1], sides[:, 1] - sides[:, 0]], axis=1)


FEATURES = {"statistics": pixel_features, "measures": measures, "thumbnails": thumbnails}
