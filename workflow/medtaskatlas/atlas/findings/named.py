"""How often the nearest neighbours name the task, and the family."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    WHERE,
    Rows,
    Tables,
    caution,
    copied,
    known,
    of_models,
    percent,
    rests_on,
)


def named(tables: Tables) -> Rows:
    """How often the nearest neighbours name the task, and the family."""
    frame = of_models(tables, "identification")
    chosen = frame[
        (frame["method"] == "knn")
        & (frame["level"] == "overall")
        & (frame["task_subset"] == "all")
        & frame["seed"].isna()
        & frame["estimate"].notna()
    ]
    asked = {
        "balanced_accuracy": ("task", "the task that turns the input of a pair into its output"),
        "family_balanced_accuracy": (
            "family",
            "the family of the task (semantic, generative or transformation)",
        ),
    }
    for measure, (what, words) in asked.items():
        for row in chosen[chosen["measure"] == measure].to_dict("records"):
            chance = ""
            if known(row["chance"]):
                chance = f"; the same answers dealt out at random reach {100 * row['chance']:.0f} %"
            yield {
                "finding": f"{what}_named",
                "encoder": row["encoder"],
                "split": row["split"],
                "sentence": f"{WHERE[row['split']]}, {words} is named right in "
                f"{percent(row)} of cases by the nearest training pairs in the "
                f"space of {row['encoder']}{chance}. {rests_on(row)}.{caution(row)}",
                "supported": bool(
                    known(row["ci_low"]) and known(row["chance"]) and row["ci_low"] > row["chance"]
                ),
                # Held-out tasks have no shuffled gallery of their own: their own row is untested.
                "control": "shuffled_gallery",
                **copied(row),
            }
