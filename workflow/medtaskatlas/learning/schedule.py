"""Learning rate of every step."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear rise, then half a cosine to zero (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    step
        0 to ``steps - 1``.
    steps
        All steps of the training.
    peak
        Highest rate.
    warmup
        Share of the steps that rise.

    Returns
    -------
    float
        Rate of the step.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
