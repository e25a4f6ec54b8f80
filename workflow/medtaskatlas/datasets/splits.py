"""Which group goes into which split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.core.shares import share_out
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.formats.images import SPLITS


def assign_splits(
    frames: Iterable[Frame], splits: Mapping[str, float], seed: int, dataset: str
) -> dict[str, str]:
    """Split of each group; a published or written split is kept.

    Parameters
    ----------
    frames
        All frames of a dataset.
    splits
        Shares of the groups: train, val and test.
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
    names = [name for name, n in share_out(len(free), splits).items() for _ in range(n)]
    return {**fixed, **{free[i]: name for i, name in zip(order, names, strict=True)}}
