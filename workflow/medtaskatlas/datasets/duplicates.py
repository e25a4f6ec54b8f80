"""Pictures that are nearly the same: re-encoded, brightened, mirrored or turned copies.

All decisions are made on whole numbers, so that they are the same on every machine. A difference
hash (Krawetz, 2013) of eight mirrored and turned copies finds candidates; the correlation of
thumbnails decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medtaskatlas.datasets.resize import resize

THUMBNAIL = 32
# Correlation of thumbnails from which two pictures count as one. Different patients of one body
# part stay below it; a JPEG of quality 50, a gamma of 0.8 and a turn stay above (tested).
SAME = 0.99
# Differences between neighbours below this are taken for noise of a flat background.
MARGIN = 2
_BANDS = 4
_BITS_APART = 10
_MOST_PER_KEY = 32


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Small grey copy, uint8 [32, 32], of a prepared image, uint8 [S, S, 3]."""
    grey = (image.astype(np.uint16).sum(axis=2) // 3).astype(np.uint8)
    return resize(grey, THUMBNAIL)


def near_duplicates(thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of pictures that are nearly the same, mirrored and turned copies included.

    From thumbnails uint8 [N, 32, 32] to rows int64 [K, 2], (i, j) with i < j, each pair once,
    sorted. Candidates share a quarter of the bits of their hashes, so copies that differ in up to
    three bits are always found; most others are.
    """
    own = _hashes(thumbnails, 0)
    by_band = own.view(np.uint16).reshape(len(own), _BANDS)
    found = [np.empty((0, 2), np.int64)]
    for turn in range(8):
        turned = _hashes(thumbnails, turn)
        bands = turned.view(np.uint16).reshape(len(turned), _BANDS)
        for band in range(_BANDS):
            for pairs in _same_key(by_band[:, band], bands[:, band]):
                apart = np.bitwise_count(own[pairs[:, 0]] ^ turned[pairs[:, 1]])
                near = pairs[(apart <= _BITS_APART) & (pairs[:, 0] < pairs[:, 1])]
                found.append(near[_correlation(thumbnails, near, turn) >= SAME])
    return np.unique(np.concatenate(found), axis=0)


def connected(pairs: np.ndarray, n: int) -> np.ndarray:
    """Smallest member, int64 [n], of the component of each of `n` things by pairs int [K, 2]."""
    root = np.arange(n)

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = int(root[i])
        return i

    for a, b in pairs:
        low, high = sorted((find(int(a)), find(int(b))))
        root[high] = low
    return np.array([find(i) for i in range(n)], np.int64)


def _turned(thumbnails: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight mirrored and turned copies; 0 is the picture itself."""
    return np.rot90(thumbnails if turn < 4 else thumbnails[:, :, ::-1], turn % 4, (1, 2))


def _hashes(thumbnails: np.ndarray, turn: int) -> np.ndarray:
    """Difference hash, uint64 [N]: where on an 8 x 9 grid the left neighbour is brighter."""
    at = np.linspace(0, THUMBNAIL, 10).astype(int)
    out = np.empty(len(thumbnails), np.uint64)
    for part in _parts(len(thumbnails)):
        copy = _turned(thumbnails[part], turn)
        down = copy.reshape(len(copy), 8, THUMBNAIL // 8, THUMBNAIL).sum(2, dtype=np.int32)
        # Columns are three or four pixels wide: compare means as whole numbers.
        means = np.add.reduceat(down, at[:-1], axis=2) * 12 // np.diff(at)
        bits = means[:, :, :-1] - means[:, :, 1:] > MARGIN * 12 * (THUMBNAIL // 8)
        out[part] = np.packbits(bits.reshape(len(copy), 64), axis=1).view(np.uint64)[:, 0]
    return out


def _parts(n: int) -> Iterator[slice]:
    """Some thousand rows at a time."""
    return (slice(begin, begin + 4096) for begin in range(0, n, 4096))


def _same_key(left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
    """Rows [K, 2] of left and right whose keys are equal, at most N at a time.

    A key that very many pictures share says little: only its first ones are compared.
    """
    order = np.argsort(right, kind="stable")
    begin = np.searchsorted(right[order], left, "left")
    end = np.searchsorted(right[order], left, "right")
    count = np.minimum(end - begin, _MOST_PER_KEY)
    for offset in range(int(count.max(initial=0))):
        rows = np.flatnonzero(count > offset)
        yield np.stack([rows, order[begin[rows] + offset]], axis=1)


def _correlation(thumbnails: np.ndarray, pairs: np.ndarray, turn: int) -> np.ndarray:
    """Pearson correlation of the first with the turned second; -1 where one is flat."""
    out = np.full(len(pairs), -1.0)
    for part in _parts(len(pairs)):
        first, second = thumbnails[pairs[part, 0]], _turned(thumbnails[pairs[part, 1]], turn)
        # Sums of whole numbers below 2**53 are exact in any order.
        x = first.reshape(len(first), -1).astype(np.int64)
        y = second.reshape(len(second), -1).astype(np.int64)
        n = x.shape[1]
        sx, sy = x.sum(1), y.sum(1)
        xx, yy = n * (x * x).sum(1) - sx * sx, n * (y * y).sum(1) - sy * sy
        xy = n * (x * y).sum(1) - sx * sy
        varied = (xx > 0) & (yy > 0)
        out[part][varied] = xy[varied] / np.sqrt(xx[varied].astype(float) * yy[varied])
    return out
