"""Predictions of multi-task systems with known scores."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.formats.multitask import COLUMNS, write_multitask_predictions

SYSTEMS = {
    "stl": {"system": "stl", "weighting": "equal"},
    "stl_wide": {"system": "stl_wide", "weighting": "equal", "like": "ctan"},
    "hps_tuned": {"system": "hps", "weighting": "tuned"},
    "ctan": {"system": "ctan", "weighting": "equal"},
    "ctan_self": {"system": "ctan_self", "weighting": "equal"},
}
FACTS = {
    "denoising": {"kind": "task"},
    "label": {"kind": "class"},
    "depth": {"kind": "map", "unit": "mm"},
    "mask": {"kind": "segmentation", "classes": ["lesion", "node"]},
}


@dataclass
class Images:
    """Images that a problem asks about."""

    n_subjects: int = 30
    per_subject: int = 2
    dataset: str = "d1"
    fold: int = -1
    subjects: list[str | None] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """One row an image."""
        subject = np.repeat(np.arange(self.n_subjects), self.per_subject)
        names = self.subjects or [f"{self.dataset} person {i}" for i in range(self.n_subjects)]
        return pd.DataFrame(
            {
                "fold": self.fold,
                "dataset": self.dataset,
                "subject_id": [names[i] for i in subject],
                "group_id": [f"g{i}" for i in subject],
                "image_id": [f"i{i}" for i in range(len(subject))],
            }
        )


def picture(similarity: np.ndarray) -> np.ndarray:
    """Statistics of the kind `picture` [N, 2] of structural similarities [N]."""
    return np.stack([similarity, np.full(len(similarity), 0.01)], axis=1)


def predictions_file(
    folder: Path,
    system: str,
    seed: int,
    frame: pd.DataFrame,
    answers: dict[str, tuple[str, np.ndarray]],
    *,
    problem: str = "p",
    split: str = "test",
    beside: str | None = None,
    weighting: str = "equal",
) -> Path:
    """Write predictions: target to kind of statistics and statistics [N, K]."""
    parts = [
        frame.assign(
            target=target,
            kind=FACTS[target]["kind"],
            statistics_kind=kind,
            statistics=list(np.asarray(values, np.float32)),
        )
        for target, (kind, values) in answers.items()
    ]
    rows = pd.concat(parts, ignore_index=True).assign(
        run="r", problem=problem, system=system, weighting=weighting, seed=seed, split=split,
        beside=beside,
    )  # fmt: skip
    suffix = f".{beside}.{'.'.join(answers)}" if beside else ""
    path = folder / problem / f"{system}{suffix}" / f"seed{seed}" / "predictions.parquet"
    facts = {"targets": {str(f): {name: FACTS[name] for name in answers} for f in set(rows.fold)}}
    write_multitask_predictions(path, rows[list(COLUMNS)], facts)
    return path


def two_targets(
    rng: np.random.Generator, frame: pd.DataFrame, gain: float = 0.0
) -> dict[str, tuple[str, np.ndarray]]:
    """Answers of a picture and a class; ``gain`` is added to the similarity and the log odds."""
    hard = np.random.default_rng(0).normal(size=len(frame))  # the same images for all systems
    truth = np.arange(len(frame)) % 2
    similarity = 0.6 + 0.05 * hard + 0.01 * rng.normal(size=len(frame)) + gain
    odds = (2 * truth - 1) * (0.4 + 20 * gain) + rng.normal(size=len(frame))
    probability = 1 / (1 + np.exp(-odds))
    label = np.stack([1 - probability, probability, truth], axis=1)
    return {"denoising": ("picture", picture(similarity)), "label": ("class", label)}


def a_problem(
    folder: Path, gains: dict[str, float], *, seeds: int = 3, **options: Any
) -> list[Path]:
    """Files of systems of known gain."""
    frame = options.pop("frame", Images().frame)
    return [
        predictions_file(
            folder, system, seed, frame,
            two_targets(np.random.default_rng([seed, i]), frame, gain),
            weighting=SYSTEMS.get(system, {"weighting": "equal"})["weighting"], **options,
        )
        for i, (system, gain) in enumerate(gains.items())
        for seed in range(seeds)
    ]  # fmt: skip


def cost_file(folder: Path, system: str, seed: int, *, problem: str = "p", **parts: Any) -> Path:
    """Write a cost.json; ``total``, ``tuning`` and ``pretraining`` are fields of a cost."""
    path = folder / "multitask" / problem / system / f"seed{seed}" / "cost.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"trainings": [], "tuning": {}, **parts}))
    return path
