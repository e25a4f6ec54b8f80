"""Predictions of arms of Medformer with known skill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.formats.multitask import COLUMNS, write_multitask_predictions

SETS = ("one", "two")


def predictions(
    folder: Path,
    skill: Mapping[tuple[str, int], float],
    *,
    sets: Mapping[str, int] | None = None,
    seeds: int = 3,
    splits: tuple[str, ...] = ("test",),
) -> list[Path]:
    """Files of arms, with a percentage of the labels, that give the right class so much more logit.

    ``sets`` says how many images each set has; each is of a subject of its own.
    """
    paths = []
    for (arm, labels), strength in skill.items():
        for seed in range(seeds):
            rng = np.random.default_rng([seed, labels, *arm.encode()])
            rows = []
            for name, n in (sets or dict.fromkeys(SETS, 60)).items():
                for split in splits:
                    for i in range(n):
                        sign = 2 * (i % 2) - 1
                        said = 1 / (1 + np.exp(-(sign * strength + rng.normal())))
                        rows.append(
                            {
                                "run": "r", "problem": name, "system": f"{arm}@{labels}",
                                "weighting": "equal", "seed": seed, "fold": -1, "split": split,
                                "dataset": name, "subject_id": f"{name}/{split}{i}",
                                "group_id": f"{split}{i}", "image_id": f"{split}{i}",
                                "target": "label", "kind": "class", "statistics_kind": "class",
                                "beside": None,
                                "statistics": np.array([1 - said, said, i % 2], np.float32),
                            }
                        )  # fmt: skip
            facts = {"kind": "class", "classes": ["no", "yes"], "unit": ""}
            about = {"targets_of": {name: {"label": facts} for name in (sets or SETS)}}
            path = folder / f"{arm}.{labels}.{seed}.parquet"
            write_multitask_predictions(path, pd.DataFrame(rows)[list(COLUMNS)], about)
            paths.append(path)
    return paths
