"""Whether tasks or datasets arrange the space."""

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


def task_over_dataset(tables: Tables) -> Rows:
    """Whether tasks or datasets arrange the space."""
    frame = of_models(tables, "separation")
    difference = frame[frame["measure"] == "silhouette_difference"]
    shares = frame[(frame["measure"] == "omega_squared") & (frame["within"] == "crossed")]
    for row in difference[difference["estimate"].notna()].to_dict("records"):
        same = shares[(shares["encoder"] == row["encoder"]) & (shares["split"] == row["split"])]
        share = same.set_index("factor")["estimate"]
        variance = ""
        if {"task", "dataset"} <= set(share.index):
            variance = (
                f" Of the variance, {100 * share['task']:.0f} % goes with the task and "
                f"{100 * share['dataset']:.0f} % with the dataset"
            )
            apart = frame[
                (frame["measure"] == "omega_squared_difference")
                & (frame["within"] == "crossed")
                & (frame["encoder"] == row["encoder"])
                & (frame["split"] == row["split"])
            ]
            if len(apart):
                variance += f" (difference: {interval(apart.iloc[0])})"
            variance += "."
        sign = "more" if row["estimate"] > 0 else "less"
        within = interval(row)
        yield {
            "finding": "task_over_dataset",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, pairs in the space of {row['encoder']} gather "
            f"{sign} by task than by dataset: the silhouette by task minus that by dataset is "
            f"{row['estimate']:.2f} ({within}).{variance} {rests_on(row)}.{caution(row)}",
            "supported": bool(known(row["ci_low"]) and row["ci_low"] > 0),
            "control": "duplicated_task",
            **copied(row),
        }
