"""The contract of multitask/<problem>/<system>/seed<k>/examples.arrow: a few whole answers.

Pictures of them are the same for all systems of a problem: see :func:`example_images`.

A row is an image. Columns, where H x W is the middle slice of a volume:

================= =========================== ===============================================
column            type                        content
================= =========================== ===============================================
``dataset``       string
``image_id``      string
``image``         uint8 [H, W] or [H, W, 3]
``input.<name>``  uint8, as ``image``         what the network sees in its place, of a target
                                              that has an input of its own
``truth.<name>``  of pixels: uint8 [H, W]     ids of a mask
                  or float16 [H, W(, 3)]      or numbers of a map or a picture; nan: not there
                  of vectors: float16 [C]     probabilities (0 or 1), or the number itself
``output.<name>`` as ``truth.<name>``         what the network says, in the same form
================= =========================== ===============================================

A target that an image lacks has nan (pixels of a mask: 255) everywhere in ``truth.<name>``.
Metadata: ``problem``, ``system``, ``seed`` and ``targets``: facts of each target, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import entropy
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.parquet import remedy

NO_CLASS = 255  # in the truth of a mask that an image lacks
EXAMPLES = 4


def example_images(
    problem: str, images: Iterable[tuple[str, str]], n: int = EXAMPLES
) -> list[tuple[str, str]]:
    """Choose images to show by a rule, and not by eye: the first ones by hash.

    Parameters
    ----------
    problem
        Name of the problem.
    images
        Dataset and name of all test images.
    n
        How many are wanted.

    Returns
    -------
    list
        Dataset and name, the same for every system and seed.
    """
    return sorted(set(images), key=lambda image: entropy("example", problem, *image))[:n]


def write_examples(
    path: str | Path,
    images: Mapping[str, Any],
    truths: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> None:
    """Write whole answers to a few images.

    Parameters
    ----------
    path
        The file to make.
    images
        ``dataset``, ``image_id``, ``image`` and ``input.<name>``.
    truths, outputs
        By the name of the target.
    facts
        JSON-able facts, see above.

    Raises
    ------
    ValueError
        If a target has a truth and no output, or one of another shape: a mistake in the caller.
    """
    if truths.keys() != outputs.keys() or truths.keys() != facts["targets"].keys():
        raise ValueError("truths, outputs and facts must be of the same targets")
    for name, truth in truths.items():
        if truth.shape != outputs[name].shape or len(truth) != len(images["image_id"]):
            raise ValueError(f"truth {truth.shape} and output {outputs[name].shape} of {name}")
    columns = {f"truth.{name}": truth for name, truth in truths.items()}
    columns |= {f"output.{name}": output for name, output in outputs.items()}
    write_arrow(path, {**images, **columns}, facts)


def read_examples(path: str | Path) -> ArrowFile:
    """Open a file of :func:`write_examples`; a DataError where it is something else."""
    file = ArrowFile(path)
    if "targets" not in file.meta or "image" not in file:
        raise DataError(f"{path} holds no examples of a multi-task system", remedy(path))
    return file
