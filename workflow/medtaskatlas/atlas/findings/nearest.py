"""Which two tasks are most alike."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    WHERE,
    Rows,
    Tables,
    caution,
    copied,
    interval,
    known,
    of_models,
    rests_on,
)


def nearest_tasks(tables: Tables) -> Rows:
    """Which two tasks are most alike."""
    frame = of_models(tables, "task_distances")
    chosen = frame[(frame["metric"] == "centroid_cosine") & frame["estimate"].notna()]
    for (encoder, split), rows in chosen.groupby(["encoder", "split"]):
        row = rows.sort_values("estimate", kind="stable").iloc[0].to_dict()
        typical = rows["estimate"].median()
        within = interval(row)
        # Held-out tasks are compared with tasks of the gallery too, and those not in turn.
        which = ", one of them at least held out," if split == "tasks" else ""
        yield {
            "finding": "most_alike_tasks",
            "encoder": encoder,
            "split": split,
            "sentence": f"{WHERE[str(split)]}, the two tasks most alike in the space of {encoder} "
            f"are {row['task_a']} and {row['task_b']}{which or ','} at a cosine distance of "
            f"{row['estimate']:.2f} ({within}; the median of all {len(rows)} pairs of tasks is "
            f"{typical:.2f}); they were picked as the closest, so the interval leans low. "
            f"{rests_on(row)}.{caution(row)}",
            "supported": bool(known(row["ci_high"]) and row["ci_high"] < typical),
            "control": "duplicated_task",
            **copied(row),
        }
