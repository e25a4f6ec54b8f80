"""Whether an embedding moves steadily while a task is done more and more strongly."""

from __future__ import annotations

import pandas as pd

from medtaskatlas.atlas.findings.words import (
    WHERE,
    Rows,
    Tables,
    caution,
    copied,
    interval,
    known,
    models,
    rests_on,
)

# The paper names brightness, rotation and noise. Noise is done by noise_addition, which no encoder
# is trained on, and undone by denoising_gaussian; see docs/decisions.md.
CHANGES = ("brightness", "rotation", "noise_addition", "denoising_gaussian")
STEADY = 0.9
# By whether training asked for steadiness, and whether it saw the task.
HOW_TRAINED = {
    (True, True): "Training asked for this, on images of its own. ",
    (True, False): "Training asked for this of other tasks, and never saw this one. ",
    (False, True): "",
    (False, False): "Training never saw this task. ",
}


def trajectories(tables: Tables) -> Rows:
    """Whether an embedding moves steadily while a task is done more and more strongly."""
    if "trajectories" not in tables:
        return
    frame = tables["trajectories"]
    wide = frame[(frame["scope"] == "task") & frame["seed"].isna() & frame["other"].isna()]
    wide = wide[wide["task"].isin(CHANGES) & wide["encoder"].isin(models(tables))]
    lower = wide[wide["measure"] == "spearman_p10"].set_index(["encoder", "split", "task"])
    for row in wide[wide["measure"] == "spearman"].to_dict("records"):
        if not known(row["estimate"]):
            continue
        tenth = lower["estimate"].get((row["encoder"], row["split"], row["task"]))
        says = f"; a tenth of the images lie below {tenth:.2f}" if pd.notna(tenth) else ""
        yield {
            "finding": f"steady_{row['task']}",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, the stronger {row['task']} is done to an image, "
            f"the farther its pair moves in the space of {row['encoder']}: the rank correlation of "
            f"severity and displacement is {row['estimate']:.2f} in the median image "
            f"({interval(row)}{says}). "
            f"{HOW_TRAINED[bool(row['asked_for']), bool(row['task_trained'])]}"
            f"{rests_on(row)}.{caution(row)}",
            "supported": bool(known(row["ci_low"]) and row["ci_low"] > STEADY),
            **copied(row),
        }
