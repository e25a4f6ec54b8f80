"""Cross-loss of graded codes: how well the code of one task does another, without training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.embed import trained_network
from medtaskatlas.encoders.graded.network import GradedEncoder
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.network import to_input
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.learning.checkpoint import save_tensors
from medtaskatlas.learning.machine import pick_device, set_up_torch
from medtaskatlas.transfer.describe import Cell, cells_of

AT_ONCE = 64  # pairs


def cross_errors(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    model: str | Path,
    out: str | Path,
    *,
    encoder: dict[str, Any],
    fitted_pairs: int,
    asked_pairs: int,
    targets: Collection[str] | None = None,
    split_seed: int,
    threads: int,
    meta: dict[str, Any],
) -> None:
    """Write how well the mean code of every task on a dataset does the tasks of that dataset.

    Parameters
    ----------
    pair_paths, image_paths
        Main pairs, and the images of their datasets.
    model
        Weights that the training stage wrote.
    out
        The file to make, :func:`~medtaskatlas.learning.checkpoint.save_tensors`: of each dataset
        ``<dataset>.error`` float64 [source, target], the mean square error of grey levels 0..1 on
        the target's test pairs (NaN of targets that are not asked), and ``<dataset>.code`` float32
        [task, D].
    encoder
        Options of the encoder, of kind `taco_graded`.
    fitted_pairs, asked_pairs
        Pairs of a cell at most whose codes are averaged, of images outside of the test, and that
        are done with codes, of test images.
    targets
        Tasks that are asked; None: all.
    split_seed
        The run's seed, by which pairs are chosen.
    threads
        Threads of torch.
    meta
        Facts for the file: ``run``, ``encoder``, ``seed``, ``trained_tasks``.

    Raises
    ------
    DataError
        If files are damaged or do not fit together, or there is no pair.
    """
    set_up_torch(threads)
    device = pick_device()
    network: Any = trained_network(encoder_of(encoder), model)
    network.to(device).eval()
    tensors: dict[str, torch.Tensor] = {}
    of: dict[str, dict[str, Any]] = {}
    for images in tqdm(list(map(ImageSet, image_paths)), "codes of tasks", mininterval=2):
        own = [path for path in pair_paths if Path(path).stem == images.dataset]
        cells = sorted(
            cells_of(own, images, fitted_pairs, asked_pairs, split_seed),
            key=lambda cell: cell.task,  # as facts are sorted, which name rows and columns
        )
        if cells:
            code = mean_codes(network, cells)
            tensors[f"{images.dataset}.code"] = code
            tensors[f"{images.dataset}.error"] = errors(network, cells, code, targets)
            of[images.dataset] = {cell.task: cell.facts for cell in cells}
    if not of:
        raise DataError(f"{out}: no task has a pair", "choose other tasks, or datasets")
    save_tensors(out, tensors, {**meta, "of": of})


def mean_codes(network: GradedEncoder, cells: Sequence[Cell]) -> torch.Tensor:
    """Mean code of the pairs that describe each cell, float32 [T, D]."""
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for cell in cells:
            pairs = np.stack(cell.fitted, axis=1)
            parts = range(0, len(pairs), AT_ONCE)
            codes = [network(to_input(pairs[i : i + AT_ONCE], device)) for i in parts]
            found.append(torch.cat(codes).mean(dim=0).float().cpu())
    return torch.stack(found)


def errors(
    network: GradedEncoder,
    cells: Sequence[Cell],
    code: torch.Tensor,
    targets: Collection[str] | None = None,
) -> torch.Tensor:
    """Mean square error [T, T] of doing a cell (column) by the code of another (row)."""
    device = next(network.parameters()).device
    found = torch.full((len(cells), len(cells)), torch.nan, dtype=torch.float64)
    with torch.inference_mode():
        for t, cell in enumerate(cells):
            if targets is not None and cell.task not in targets:
                continue
            before, after = to_input(np.stack(cell.asked, axis=1), device).chunk(2, dim=1)
            for s, one in enumerate(code.to(device)):
                done = network.doer(before, one.expand(len(before), -1)).clamp(-1, 1)
                # Half the difference is one of grey levels 0..1.
                found[s, t] = float(((done - after) / 2).double().square().mean())
    return found
