"""What masked pre-training makes of the hidden cells of validation images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.multitask_examples import example_images
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.medformer.model import Medformer, Shape, Who, from_cells, to_cells
from medtaskatlas.medformer.options import Medformer as Section
from medtaskatlas.medformer.pictures.planes import PICTURE, TEXT, flat, write_rows
from medtaskatlas.medformer.pretexts import pretext_of
from medtaskatlas.medformer.pretexts.masked import Masked, hide
from medtaskatlas.medformer.pretexts.pretext import Drawn
from medtaskatlas.medformer.pretraining import PretrainingObjective
from medtaskatlas.medformer.sets import Unlabelled
from medtaskatlas.problems.data import planes_of

IMAGES = 3  # of a set
MASKED = "masked"


class Answer(NamedTuple):
    """Pixels of each cell, float [B, cells, pixels]: what is said and what is true."""

    said: torch.Tensor
    true: torch.Tensor
    hides: torch.Tensor  # [B, cells], 1 where a cell is hidden
    shown: torch.Tensor  # images [B, C, *S] as the model sees them
    binary: bool  # whether what is said is the logit of white


def pretrained(
    paths: Sequence[str | Path], weights: str | Path, options: Section, name: str, seed: int
) -> PretrainingObjective:
    """Model of a pre-training with its weights, its sets and its pretexts."""
    objective = PretrainingObjective(
        Medformer(options, seed),
        [Unlabelled(path) for path in paths],
        [pretext_of(pretext) for pretext in options.pretrainings[name].pretexts],
        batch_size=options.batch_size,
        batches=options.pretraining_batches,
        seed=seed,
    )
    objective.model.load_state_dict(load_tensors(weights)[0])
    objective.model.eval()
    return objective


def write_reconstructions(
    out: str | Path, objective: PretrainingObjective | None, facts: dict[str, Any]
) -> None:
    """Write reconstructions.arrow; without rows where nothing was pre-trained by masking."""
    rows = []
    for one in objective.fitting.get(MASKED, []) if objective else []:
        assert objective is not None
        assert isinstance(objective.model, Medformer)
        masked, grid = Masked(MASKED), objective.model.grid(one.shape, one.size)
        names, images = _validation(one)
        if not names:
            continue
        drawn = masked.draw(images, grid, generator(0, "medformer picture", one.name))
        answer = answer_of(objective.model, masked, one.shape, one.who(MASKED), drawn)
        whole = reconstruction(answer, grid, objective.model.pitch(one.shape), one.size)
        for name, *pictures in zip(names, drawn["images"], answer.shown, whole, strict=True):
            shown = zip(("image", MASKED, "reconstruction"), map(flat, pictures), strict=True)
            rows.append({"dataset": one.name, "image_id": name, **dict(shown)})
    empty = {"dataset": TEXT, "image_id": TEXT, "image": PICTURE, MASKED: PICTURE}
    write_rows(out, rows, empty | {"reconstruction": PICTURE}, facts)


@torch.inference_mode()
def answer_of(model: Medformer, masked: Masked, shape: Shape, who: Who, drawn: Drawn) -> Answer:
    """What a model says of hidden cells, as :meth:`Masked.loss` asks it."""
    images, order = drawn["images"], drawn["order"]
    size = images.shape[2:]
    grid = model.grid(shape, size)
    shown, seen, _ = hide(images, order, grid)
    hides = torch.ones(order.shape).scatter(1, seen, 0)
    tokens = model.tokens(shown, shape, who, seen)
    said = model.cells(tokens, shape, who, masked.heads(shape)[0].name, size)
    true = to_cells(images, grid, model.pitch(shape))
    return Answer(said, true, hides, shown, bool(drawn["binary"]))


def reconstruction(
    answer: Answer, grid: Sequence[int], pitch: int, size: Sequence[int]
) -> torch.Tensor:
    """Images float [B, C, *S]: hidden cells as they are said to be, the others as they are.

    Only the pattern of a cell is asked for, so mean and deviation of grey ones are the true ones.
    """
    said, true = answer.said, answer.true
    if answer.binary:
        said = said.sigmoid()
    else:
        spread = (true.var(dim=2, keepdim=True) + 1e-3).sqrt()
        said = said * spread + true.mean(dim=2, keepdim=True)
    images = from_cells(torch.where(answer.hides[:, :, None] > 0, said, true), grid, pitch)
    if tuple(images.shape[2:]) == tuple(size):
        return images
    mode = "bilinear" if len(grid) == 2 else "trilinear"
    return functional.interpolate(images, tuple(size), mode=mode, align_corners=False)


def _validation(one: Unlabelled) -> tuple[list[str], np.ndarray]:
    """Names of a few validation images, chosen by hash, and their pixels uint8 [n, C, *S]."""
    volumes = "volume" in one.file
    names = one.file.column("volume_id" if volumes else "image_id").to_pylist()
    splits = one.file.column("split").to_pylist()
    val = {
        name: row
        for row, (name, split) in enumerate(zip(names, splits, strict=True))
        if split == "val"
    }
    chosen = [name for _, name in example_images(one.name, [(one.name, n) for n in val], IMAGES)]
    pixels = one.file.numpy("volume" if volumes else "image")[[val[name] for name in chosen]]
    return chosen, pixels[:, None] if volumes else planes_of(pixels, one.shape.channels)
