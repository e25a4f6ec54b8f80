"""Which group goes into which split."""

from __future__ import annotations

from collections.abc import Iterable

from medtaskatlas.config import Splits
from medtaskatlas.datasets.readers.frame import Frame
from medtaskatlas.errors import DataError
from medtaskatlas.imageset import SPLITS
from medtaskatlas.seeds import generator


def assign_splits(
    frames: Iterable[Frame], splits: Splits, seed: int, dataset: str
) -> dict[str, str]:
    """Split of each group; a published or written split is kept.

    Parameters
    ----------
    frames
        All frames of a dataset.
    splits
        Shares of the groups.
    seed
        The run's seed.
    dataset
        Name of the dataset.

    Returns
    -------
    dict of str to str
        Group to split. Fewer than three free groups are all `test`: one cannot be learnt from,
        chosen on and measured on at once.

    Raises
    ------
    DataError
        If frames of one group come with different splits.
    """
    given: dict[str, str | None] = {}
    for frame in frames:
        if given.setdefault(frame.group_id, frame.split) != frame.split:
            raise DataError(
                f"{dataset}: group {frame.group_id} is in two splits",
                "mend the catalogue's pattern",
            )
    free = sorted(group for group, split in given.items() if split is None)
    fixed = {group: split for group, split in given.items() if split is not None}
    if len(free) < len(SPLITS):
        return {**fixed, **dict.fromkeys(free, "test")}
    order = generator(seed, "splits", dataset).permutation(len(free))
    names = [name for name, n in split_counts(len(free), splits).items() for _ in range(n)]
    return {**fixed, **{free[i]: name for i, name in zip(order, names, strict=True)}}


def split_counts(n: int, splits: Splits) -> dict[str, int]:
    """Number of groups of each split: largest remainders, at least one each.

    Parameters
    ----------
    n
        Number of groups, three or more.
    splits
        Shares.

    Returns
    -------
    dict of str to int
        Sums to `n`; ties go to the earlier of train, val, test.
    """
    shares = {name: round(getattr(splits, name) * n, 9) for name in SPLITS}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(SPLITS, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: n - sum(counts.values())]:
        counts[name] += 1
    for name in SPLITS:
        if counts[name] == 0:
            richest = max(SPLITS, key=lambda other: counts[other])
            counts[richest] -= 1
            counts[name] = 1
    return counts
