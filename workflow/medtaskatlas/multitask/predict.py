"""Predictions of a trained system for pictures and volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.multitask.ensemble import load_ensemble
from medtaskatlas.problems.ensemble import Ensemble
from medtaskatlas.problems.native import Seen
from medtaskatlas.problems.predict import Row, predict_files


def predict_folder(
    model: Path,
    folder: Path,
    out: Path,
    *,
    axis: str | None = None,
    modality: str | None = None,
    window: tuple[float, float] | None = None,
    targets_dir: Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> bool:
    """Predict all targets of all images of a folder, or of one file.

    Parameters
    ----------
    model
        Folder of a system, multitask/<problem>/<system>: all its seeds and folds are averaged; or
        of one of its seeds.
    folder
        Folder or file.
    targets_dir
        Folder with the user's own kinds of targets.
    out, axis, modality, window, overwrite, say
        See :func:`~medtaskatlas.problems.predict.predict_files`.

    Returns
    -------
    bool
        Whether no image was left out.

    Raises
    ------
    ConfigError, DataError
        If the model, the folder or an option cannot be used; an image that cannot be read is left
        out instead.
    """
    ensemble = load_ensemble(Path(model), targets_dir)
    return predict_files(
        ensemble,
        Path(folder),
        Path(out),
        told=_told(model, ensemble),
        code=code_hash(__name__),
        rows_of=_rows,
        axis=axis,
        modality=modality,
        window=window,
        overwrite=overwrite,
        say=say,
    )


def _told(model: Path, ensemble: Ensemble) -> str:
    """What is applied."""
    seeds, folds = (", ".join(map(str, n)) for n in (ensemble.seeds, ensemble.folds))
    own = f", folds {folds}" if ensemble.folds != [-1] else ""
    many = len(ensemble.seeds) * len(ensemble.folds)
    return f"{model}: {'mean of ' * (many > 1)}seed{'s' * (many > 1)} {seeds}{own}"


def _rows(
    ensemble: Ensemble, seen: Seen, said: dict[str, np.ndarray], files: dict[str, str]
) -> list[Row]:
    """A row a picture or slice, with the numbers of all targets."""
    return [
        {"image": seen.name, "slice": i if seen.slices else ""}
        | {
            column: value
            for name, target in ensemble.targets.items()
            for column, value in target.columns(said[name][i]).items()
        }
        for i in range(len(seen.pixels))
    ]
