"""Random generators.

Every draw of the project comes from a generator that is a pure function of the run's seed and of
what the draw is for, so results depend neither on the order of jobs nor on their number.
"""

from __future__ import annotations

import hashlib

import numpy as np


def entropy(*key: str | int) -> list[int]:
    """Four 32-bit words that stand for a key such as ``("pairs", dataset, task, 17)``.

    They are a BLAKE2b digest, the same on every machine; keys that differ in a part, or in where a
    part ends, give other words.
    """
    return [int(word) for word in np.frombuffer(_digest(*key), "<u4")]


def _digest(*key: str | int) -> bytes:
    """128 bits that stand for a key."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Generator for one purpose of one run.

    Parameters
    ----------
    seed
        The run's seed, a non-negative integer.
    key
        What the draw is for; see :func:`entropy`.

    Returns
    -------
    numpy.random.Generator
        PCG64 seeded by ``SeedSequence([seed, *entropy(*key)])``.
    """
    if seed < 2**32:  # the same words as one array: half the time, and a pairs job needs thousands
        words = np.frombuffer(seed.to_bytes(4, "little") + _digest(*key), "<u4")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *entropy(*key)])))
