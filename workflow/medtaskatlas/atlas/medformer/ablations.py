"""The table `medformer_ablations`: what is lost where a part of Medformer is left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medtaskatlas.atlas.columns import RUN, SEED, TableSpec, text
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.duplicates import DUPLICATES
from medtaskatlas.atlas.medformer.gains import Arms
from medtaskatlas.atlas.multitask.columns import SPLIT, TESTED
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.medformer.options import WRONG_LATENTS

RIGHT_LATENTS = "right_latents"
# By the option in which two arms differ: its value with a part, that without, and the part.
PARTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "latents": (
        ("all", "none", "latents"),
        ("all", "task", "modality_and_body_part"),
        ("task", "none", "task"),
    ),
    "stems": (("shared", "set", "shared_stem"),),
    "align": (("coral", "none", "alignment"),),
}

SPEC = TableSpec(
    "What is lost where a part of Medformer is left out? Rows of medformer_gains, turned so that "
    "the estimate is the score with the part minus that without it.",
    ("run", "set", "part", "arm", "without", "labels", "duplicates", "target", "score"),
    (
        *(RUN, columns.SET),
        text(
            "part",
            "latents: those of modality, body part and task; modality_and_body_part: these two, "
            "beside that of the task; task: that of the task, beside none; shared_stem: one stem a "
            "kind of image, not one a set; alignment: of the features of two sets; right_latents: "
            "the set's own in place of another set's, when test images are asked",
            *(part for parts in PARTS.values() for _, _, part in parts),
            RIGHT_LATENTS,
        ),
        columns.ARM,
        text("without", "the arm that lacks the part"),
        *(columns.LABELS, SEED, SPLIT, DUPLICATES, columns.TARGET, columns.SCORE, *TESTED),
    ),
)


def medformer_ablations(gains_path: str | Path, out: str | Path, *, run: str, arms: Arms) -> None:
    """Write the table `medformer_ablations`.

    Parameters
    ----------
    gains_path
        Table `medformer_gains` of the run; intervals and p are taken from there.
    out
        results/<run>/tables/medformer_ablations.parquet.
    run
        Name of the run.
    arms
        Options of every configured arm, by name.
    """
    gains = read_table(gains_path, "medformer_gains", run=run)
    names = [column.name for column in SPEC.columns]
    rows = [
        {name: row.get(name) for name in names}
        for gain in gains.to_dict("records")
        for row in _parts(gain, arms)
    ]
    write_table("medformer_ablations", rows, out, {"run": run})


def _parts(gain: dict[Any, Any], arms: Arms) -> Iterator[dict[Any, Any]]:
    """A gain as the worth of a part, where it is that of one."""
    arm, reference, option = gain["arm"], gain["reference"], gain["differs"]
    if option == WRONG_LATENTS:
        yield gain | {"part": RIGHT_LATENTS, "without": reference}
    for with_it, without, part in PARTS.get(option, ()):
        values = arms[arm][option], arms[reference][option]
        if values == (with_it, without):
            yield gain | {"part": part, "without": reference}
        elif values == (without, with_it):
            yield turned(gain) | {"part": part, "without": arm}


def turned(gain: dict[Any, Any]) -> dict[Any, Any]:
    """A gain with its two arms in each other's place."""
    return gain | {
        "arm": gain["reference"],
        "reference": gain["arm"],
        "estimate": -gain["estimate"],
        "ci_low": -gain["ci_high"],
        "ci_high": -gain["ci_low"],
    }
