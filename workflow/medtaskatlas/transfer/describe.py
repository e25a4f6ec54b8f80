"""Describe the tasks of one dataset as functions: results/<run>/transfer/kernel/<dataset>."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.learning.checkpoint import save_tensors
from medtaskatlas.transfer.kernel import Moments, moments, networks, to_tensor

PARTS = ("gram", "cross", "square", "pixels")
IDS = ("image_id", "group_id", "subject_id")


def describe(
    pair_paths: Sequence[str | Path],
    images_path: str | Path,
    out: str | Path,
    *,
    run: str,
    fitted_pairs: int,
    asked_pairs: int,
    seed: int,
    threads: int,
) -> None:
    """Write the moments of every task on one dataset, and how much their outputs differ.

    Parameters
    ----------
    pair_paths
        Main pairs of all tasks on the dataset, one file each; those without pairs are passed over.
    images_path
        The dataset's images.
    out
        The file to make: :func:`~medtaskatlas.learning.checkpoint.save_tensors`.
    run
        Name of the run.
    fitted_pairs, asked_pairs
        Pairs of a task at most that maps are fitted to, of images outside of the test, and that
        they are asked about, of test images.
    seed
        The run's seed.
    threads
        Threads of torch.

    Raises
    ------
    DataError
        If files are damaged or do not fit together, or there is no pair at all.
    """
    torch.set_num_threads(threads)
    images = ImageSet(images_path)
    made = networks(seed)
    found: dict[str, tuple[Moments, Moments]] = {}
    facts: dict[str, dict[str, Any]] = {}
    outputs: dict[str, dict[int, np.ndarray]] = {}
    cells = cells_of(pair_paths, images, fitted_pairs, asked_pairs, seed)
    for cell in tqdm(cells, f"functions of tasks on {images.dataset}", mininterval=2):
        found[cell.task] = moments(made, *cell.fitted), moments(made, *cell.asked)
        outputs[cell.task] = dict(zip(cell.asked_images, cell.asked[1], strict=True))
        facts[cell.task] = cell.facts
    if not found:
        raise DataError(f"{images_path}: no task has a pair", "choose other tasks, or datasets")
    tasks = sorted(found)
    tensors = {
        f"{kind}.{part}": torch.stack([found[t][i].tensors()[p] for t in tasks])
        for i, kind in enumerate(("fitted", "asked"))
        for p, part in enumerate(PARTS)
    }
    tensors |= _differences([outputs[task] for task in tasks])
    about = {"run": run, "dataset": images.dataset, "tasks": tasks}
    save_tensors(out, tensors, {**about, "of": [facts[task] for task in tasks]})


@dataclass(frozen=True)
class Cell:
    """Pairs of a task on a dataset: those that it is described by, and those that are asked."""

    task: str
    facts: dict[str, Any]  # JSON-able; `family`, `apart`, and how many pairs of what there are
    fitted: tuple[np.ndarray, np.ndarray]  # inputs and outputs, uint8 [N, H, W, 3] each
    asked: tuple[np.ndarray, np.ndarray]
    asked_images: list[int]


def cells_of(
    pair_paths: Sequence[str | Path], images: ImageSet, fitted: int, asked: int, seed: int
) -> Iterator[Cell]:
    """Read the pairs that :func:`choose` takes of each task; tasks without any are passed over."""
    for path in pair_paths:
        pairs = PairSet(path, images)
        if not len(pairs):
            continue
        rows, asked_rows, apart = choose(pairs, fitted, asked, seed)
        facts = {
            "family": str(pairs.numpy("family")[0]),
            "n_fitted": len(rows),
            "n_pairs": len(asked_rows),
            "apart": apart,
            **{name: sorted(set(pairs.numpy(name)[asked_rows].tolist())) for name in IDS},
        }
        sides = [(pairs.side("input", at), pairs.side("output", at)) for at in (rows, asked_rows)]
        asked_images = pairs.image_row[asked_rows].tolist()
        yield Cell(str(pairs.numpy("task")[0]), facts, sides[0], sides[1], asked_images)


def choose(
    pairs: PairSet, fitted: int, asked: int, seed: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows to fit a map to and rows to ask it about, int each, and whether their images differ.

    Test images are asked, the others are fitted; of a dataset that has one of them only, a third
    of the images is asked. Pairs are spread over images, the same images for all tasks.
    """
    split, row = pairs.numpy("split").astype(str), pairs.image_row
    test = split == "test"
    if test.all() or not test.any():
        names = np.unique(row)
        order = generator(seed, "transfer", pairs.images.dataset).permutation(names)
        test = np.isin(row, order[: max(1, len(names) // 3)])
    apart = bool(test.any() and not test.all())
    if not apart:
        test = np.ones(len(row), bool)
    order = generator(seed, "transfer pairs", pairs.images.dataset).permutation(
        int(pairs.images.images.shape[0])
    )
    rank = np.argsort(order)[row]
    draw = pairs.numpy("draw")

    def spread(mask: np.ndarray, most: int) -> np.ndarray:
        at = np.flatnonzero(mask)
        at = at[np.lexsort((rank[at], draw[at]))]
        turn = np.zeros(len(at), int)
        seen: dict[int, int] = {}
        for i, image in enumerate(row[at].tolist()):
            turn[i] = seen[image] = seen.get(image, -1) + 1
        return np.sort(at[np.lexsort((rank[at], turn))][:most])

    return spread(~test if apart else test, fitted), spread(test, asked), apart


def _differences(outputs: Sequence[dict[int, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Mean square difference and SSIM of the outputs of any two tasks on the same images, [T, T].

    NaN where they share no image; ``output_images`` is on how many.
    """
    from medtaskatlas.problems.targets.picture import ssim

    T = len(outputs)
    square, alike = (torch.full((T, T), torch.nan, dtype=torch.float64) for _ in range(2))
    shared = torch.zeros((T, T), dtype=torch.int64)
    for a, b in [*combinations(range(T), 2), *((t, t) for t in range(T))]:
        rows = sorted(outputs[a].keys() & outputs[b].keys())
        shared[a, b] = shared[b, a] = len(rows)
        if rows:
            one, other = (
                to_tensor(np.stack([of[row] for row in rows])) for of in (outputs[a], outputs[b])
            )
            square[a, b] = square[b, a] = float((one - other).square().mean())
            alike[a, b] = alike[b, a] = float(ssim(one, other).mean())
    return {"output_mse": square, "output_ssim": alike, "output_images": shared}
