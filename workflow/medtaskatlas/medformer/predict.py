"""Predictions of a trained arm for pictures and volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.medformer.model import KINDS
from medtaskatlas.medformer.trained import MEAN, choose, load_arm
from medtaskatlas.problems.ensemble import Ensemble
from medtaskatlas.problems.files import are_volumes
from medtaskatlas.problems.native import Seen
from medtaskatlas.problems.predict import Row, predict_files
from medtaskatlas.problems.targets.label import Label
from medtaskatlas.problems.targets.labels import Labels
from medtaskatlas.problems.targets.ordinal import Ordinal
from medtaskatlas.problems.targets.target import Target

# From this probability on a finding is predicted, as the scores have it.
_LIKELY = 0.5


def predict_arm(
    model: Path,
    path: Path,
    out: Path,
    *,
    run: Path | None = None,
    set_name: str | None = None,
    labels: int | None = None,
    modality: str | None = None,
    body_part: str | None = None,
    task: str | None = None,
    axis: str | None = None,
    window: tuple[float, float] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> bool:
    """Predict all targets of a set for all images of a folder, or for one file.

    Parameters
    ----------
    model, run, set_name, labels
        See :func:`~medtaskatlas.medformer.trained.choose`.
    path
        Folder or file.
    modality, body_part, task
        Latents in the place of the set's own; ``mean``: the mean of all. Modality and body part
        decide grey levels too.
    out, axis, window, overwrite, say
        See :func:`~medtaskatlas.problems.predict.predict_files`.

    Returns
    -------
    bool
        Whether no image was left out.

    Raises
    ------
    ConfigError, DataError
        If the arm, the path or an option cannot be used; an image that cannot be read is left out
        instead.
    """
    chosen = choose(model, run, set_name, labels, volumes=are_volumes(Path(path)))
    named = zip(KINDS, (modality, body_part, task), strict=True)
    latents = {kind: name for kind, name in named if name is not None}
    ensemble = load_arm(chosen, latents)
    known = {kind: name for kind, name in latents.items() if name != MEAN}
    return predict_files(
        ensemble,
        Path(path),
        Path(out),
        told=_told(ensemble),
        code=code_hash(__name__),
        rows_of=_rows,
        axis=axis,
        modality=known.get("modality"),
        body_part=known.get("body_part"),
        window=window,
        overwrite=overwrite,
        say=say,
    )


def _told(ensemble: Ensemble) -> str:
    """What is applied."""
    seeds, many = ", ".join(map(str, ensemble.seeds)), len(ensemble.seeds) > 1
    named = ensemble.facts["latents"].items()
    other = ", ".join(f"{kind.replace('_', ' ')} {name}" for kind, name in named)
    return (
        f"{ensemble.folders[0].parent}: {'mean of ' * many}seed{'s' * many} {seeds}, targets of "
        f"{ensemble.facts['set']}{f', latents: {other}' if other else ''}"
    )


def _rows(
    ensemble: Ensemble, seen: Seen, said: dict[str, np.ndarray], files: dict[str, str]
) -> list[Row]:
    """A row a target of each picture, volume or slice."""
    return [
        {
            "image": seen.name,
            "slice": i if seen.slices else "",
            "target": name,
            "file": files.get(name, ""),
            **_decided(target, said[name][i]),
            **target.columns(said[name][i]),
        }
        for i in range(len(seen.pixels))
        for name, target in ensemble.targets.items()
    ]


def _decided(target: Target, prediction: np.ndarray) -> Row:
    """Class that is predicted, or findings with bars between them; of grades the number too."""
    if isinstance(target, Label):
        best = int(prediction.argmax())
        grade = best if isinstance(target, Ordinal) else ""
        return {"predicted": target.classes[best], "grade": grade}
    if isinstance(target, Labels):
        there = [c for c, p in zip(target.classes, prediction, strict=True) if p > _LIKELY]
        return {"predicted": "|".join(there), "grade": ""}
    return {"predicted": "", "grade": ""}
