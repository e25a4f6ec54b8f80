"""Statistics of a network's outputs on a split, image by image and group by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask import COLUMNS
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.scores import SCORES, check_statistics
from medtaskatlas.problems.targets.target import Target

if TYPE_CHECKING:
    from torch import Tensor

# Outputs of the targets that a batch has rows of.
Forward = Callable[["Tensor", Mapping[str, "Tensor"]], Mapping[str, "Tensor"]]
Rows = dict[str, list[Any]]
# What is known of an image; the rest is of the training.
ROW = tuple(name for name in COLUMNS[COLUMNS.index("split") :] if name != "beside")


def evaluate(
    data: ProblemData,
    split: str,
    forward: Forward,
    targets: Sequence[str] | None = None,
    *,
    most: int | None = None,
) -> Rows:
    """Statistics of all images of a split, and of their groups, which need all images.

    Parameters
    ----------
    data
        The problem's data.
    split
        ``val``, or ``test`` once it is open.
    forward
        Gives the outputs for images [B, C, *S] and the rows of each target; it is called in
        evaluation mode and without gradients.
    targets
        Names of those that it knows; None: all.
    most
        Images at most, see :meth:`~medtaskatlas.problems.data.ProblemData.evaluation`.

    Returns
    -------
    dict of list
        Columns :data:`ROW` of the predictions, lists of one length.
    """
    import torch

    found: Rows = {column: [] for column in ROW}
    of_groups: Rows = {column: [] for column in ROW}

    def close(name: str, slices: Sequence[tuple[int, int, str, Tensor, Tensor]]) -> None:
        """Statistics of the slices of a group, all of them."""
        datasets, rows, _, outputs_of, truths = zip(*slices, strict=True)
        d = datasets[0]
        ids: Rows = {**data.images.ids(np.array([[d, rows[0]]])), "image_id": [None]}
        together = data.targets[name].group_statistics(
            torch.stack(outputs_of), torch.stack(truths), data.images.files[d], np.array(rows)
        )
        whole = {kind: values[None] for kind, values in together.items()}
        _add(of_groups, split, ids, data.targets[name], whole)

    # Slices of a group come one after the other, so that one group a target is held.
    held: dict[str, list[tuple[int, int, str, Tensor, Tensor]]] = defaultdict(list)
    for batch in data.evaluation(split, targets, most=most):
        outputs = forward(batch.images, batch.rows)
        for name, truth in batch.truths.items():
            target = data.targets[name]
            output = outputs[name].detach().cpu().float()
            places = batch.places[batch.rows[name].numpy()]
            ids: Rows = dict(data.images.ids(places))
            of_images = {target.statistics_kind: target.statistics(output, truth)}
            _add(found, split, ids, target, of_images)
            if most is None and type(target).group_statistics is not Target.group_statistics:
                for i, (d, row) in enumerate(places.tolist()):
                    group = ids["group_id"][i]
                    if held[name] and (held[name][-1][0], held[name][-1][2]) != (d, group):
                        close(name, held.pop(name))
                    held[name].append((d, row, group, output[i], truth[i]))
    for name, slices in held.items():
        close(name, slices)
    return {column: values + of_groups[column] for column, values in found.items()}


def primary_scores(rows: Rows, prefer: str = "") -> dict[str, float]:
    """Primary score of each target, higher is better; NaN where it is not defined.

    With ``prefer`` the first score whose name ends so, where a target has one.
    """
    of_target: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for target, kind, image, statistics in zip(
        *(rows[c] for c in ("target", "statistics_kind", "image_id", "statistics")), strict=True
    ):
        if image is not None:
            of_target[target, kind].append(statistics)
    found = {}
    for (target, kind), statistics in of_target.items():
        every = SCORES[kind]
        score = next((s for s in every if s.name.endswith(prefer)), every[0])
        found[target] = float(score.compute(np.stack(statistics))[0])
    return found


def _add(
    found: Rows, split: str, ids: Rows, target: Target, statistics: Mapping[str, np.ndarray]
) -> None:
    """Add statistics [n, K] by their kind, of n images or groups."""
    for kind, values in statistics.items():
        try:
            check_statistics(kind, values)
        except ValueError as error:
            raise DataError(
                f"target {target.name} of the kind {target.kind} {error}",
                "mend its `statistics`: medtaskatlas.problems.scores says what they are",
            ) from error
        same = {"split": split, "target": target.name, "kind": target.kind, "statistics_kind": kind}
        for column, value in same.items():
            found[column] += [value] * len(values)
        for column, column_values in ids.items():
            found[column] += column_values
        found["statistics"] += list(values)
