"""Share out a number of things."""

from __future__ import annotations

from collections.abc import Mapping


def apportion(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split a number in proportion to weights: largest remainders, at least one each.

    Sums to ``total``, or to the number of shares where that is larger; ties go to the earlier.
    """
    total = max(total, len(shares))
    scale = total / sum(shares.values())
    # Rounded, so that 0.2 * 5 / 1.0 is one and not a little less.
    exact = {name: round(share * scale, 9) for name, share in shares.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    for name in shares:
        if counts[name] == 0:
            richest = max(shares, key=lambda other: counts[other])
            counts[richest] -= 1
            counts[name] = 1
    return counts
