"""The table `medformer_duplicates`: images of a set that are the same to the pixel."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.columns import RUN, TableSpec, count, text
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.multitask.answers import Answers, Problem
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.gather import IDENTICAL
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.images import SPLITS

KEPT, LEFT_OUT = "kept", "left_out"
# A column of the tables of scores.
DUPLICATES = text(
    "duplicates",
    "kept: of all test images; left_out: without those that are the same to the pixel as a "
    "training or validation image, in sets that have such",
    KEPT,
    LEFT_OUT,
)
SPEC = TableSpec(
    "Which images (or volumes) of a set are the same to the pixel, in one split or in several, and "
    "which test images are left out where `duplicates` is `left_out`? A group is all images that "
    "are the same.",
    ("run", "set"),
    (
        RUN,
        columns.SET,
        *(count(f"n_{split}", f"images of the split {split}") for split in SPLITS),
        count("within_split", "groups with two images or more in one split"),
        count("across_splits", "groups in two splits or more"),
        count("other_labels", "groups whose images have different labels"),
        count("n_left_out", "test images that are the same as a training or validation image"),
        text("left_out", "names of these, JSON"),
        count(
            "dropped",
            "images that preparation left out since they are the same as another, so that no "
            "score counts them; none with `keep_duplicates`",
        ),
    ),
)


def medformer_duplicates(image_paths: Iterable[str | Path], out: str | Path, *, run: str) -> None:
    """Write the table `medformer_duplicates`.

    Parameters
    ----------
    image_paths
        Prepared images or volumes of Medformer's sets.
    out
        results/<run>/tables/medformer_duplicates.parquet.
    run
        Name of the run.
    """
    rows = [{"run": run, **_counted(ArrowFile(path))} for path in image_paths]
    write_table("medformer_duplicates", rows, out, {"run": run})


def _counted(file: ArrowFile) -> dict[str, Any]:
    """Counts of one set."""
    kind = "volume" if "volume" in file else "image"
    splits = file.column("split").to_pylist()
    names = file.column(f"{kind}_id").to_pylist()
    said = [file.column(name).to_pylist() for name in ("label", "labels") if name in file]
    labels = [str(of) for of in zip(*said, strict=True)] or [""] * len(file)
    same: dict[bytes, list[int]] = defaultdict(list)
    for row, pixels in enumerate(file.numpy(kind)):
        same[hashlib.sha256(pixels.tobytes()).digest()].append(row)
    groups = [rows for rows in same.values() if len(rows) > 1]
    of_splits = [[splits[row] for row in rows] for rows in groups]
    left_out = sorted(
        names[row]
        for rows, of in zip(groups, of_splits, strict=True)
        for row in rows
        if splits[row] == "test" and set(of) != {"test"}
    )
    return {
        "set": file.meta["dataset"],
        **{f"n_{split}": splits.count(split) for split in SPLITS},
        "within_split": sum(len(set(of)) < len(of) for of in of_splits),
        "across_splits": sum(len(set(of)) > 1 for of in of_splits),
        "other_labels": sum(len({labels[row] for row in rows}) > 1 for rows in groups),
        "n_left_out": len(left_out),
        "left_out": json.dumps(left_out),
        "dropped": file.meta.get("quality", {}).get("excluded", {}).get(IDENTICAL, 0),
    }


def read_left_out(path: str | Path, run: str) -> dict[str, frozenset[str]]:
    """Names of the test images that are left out, of the sets that have any."""
    table = read_table(path, "medformer_duplicates", run=run)
    named = zip(table["set"], table["left_out"], strict=True)
    return {name: frozenset(ids) for name, text in named if (ids := json.loads(text))}


def without(problem: Problem, left_out: Mapping[str, frozenset[str]]) -> Problem | None:
    """A set without the test images that are left out; None where there are none.

    Numbers of whole groups, such as doses, are without groups of which an image is left out.
    """
    names = left_out.get(problem.name)
    if names is None or problem.split != "test":
        return None
    images = pd.concat([answers.images for answers in problem.answers.values()])
    torn = set(images["group_id"][images["image_id"].isin(names)])
    answers = {asked: _without(of, names, torn) for asked, of in problem.answers.items()}
    if not all(len(of.images) for of in answers.values()):
        raise DataError(
            f"{problem.name}: every test image is the same as a training or validation image",
            "leave the set out of medformer.sets, or give it another split",
        )
    return replace(problem, answers=answers)


def _without(answers: Answers, names: frozenset[str], torn: set[str]) -> Answers:
    """What trainings say of the other images and groups."""
    images = answers.images
    whole = images["image_id"].isna() & images["group_id"].isin(torn)
    kept = ~(whole | images["image_id"].isin(names)).to_numpy()
    statistics = {training: rows[kept] for training, rows in answers.statistics.items()}
    return replace(answers, images=images[kept].reset_index(drop=True), statistics=statistics)
