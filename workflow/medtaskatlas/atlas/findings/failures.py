"""Whether wrong ways of doing a task lie far from right ways."""

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


def failures(tables: Tables) -> Rows:
    """Whether wrong ways of doing a task lie far from right ways."""
    if "failures" not in tables:
        return
    frame = of_models(tables, "failures")
    frame = frame[frame["seed"].isna() & (frame["task"] == "all")]
    each = frame[frame["measure"] == "separation_auc"]
    for row in each[each["failure_kind"] == "all"].to_dict("records"):
        if not known(row["estimate"]):
            continue
        kinds = each[
            (each["encoder"] == row["encoder"])
            & (each["split"] == row["split"])
            & (each["failure_kind"] != "all")
            & each["estimate"].notna()
        ].sort_values("estimate", kind="stable")
        told = ""
        if len(kinds):
            hardest = kinds.iloc[0]
            told = (
                f" Hardest to tell: {hardest['failure_kind']} ({100 * hardest['estimate']:.0f} %)."
            )
        yield {
            "finding": "failures_apart",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, a right pair lies nearer to the right pairs of "
            f"its task than a failure of it does in {percent(row)} of comparisons in the space "
            f"of {row['encoder']}, where chance is 50 %.{told} {rests_on(row)}.{caution(row)}",
            "supported": bool(known(row["ci_low"]) and row["ci_low"] > 0.5),
            **copied(row),
        }
