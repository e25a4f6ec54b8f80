"""What more data would buy."""

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


def scaling(tables: Tables) -> Rows:
    """What more data would buy."""
    if "scaling" not in tables:
        return
    frame = of_models(tables, "scaling")
    chosen = frame[(frame["measure"] == "gain_per_doubling") & frame["estimate"].notna()]
    words = {"pairs": "training pairs", "datasets": "training datasets"}
    for row in chosen.to_dict("records"):
        yield {
            "finding": f"more_{row['axis']}",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, with {row['steps']} steps each, every doubling of "
            f"the {words[row['axis']]} changed how often {row['encoder']} names the task right by "
            f"{percent(row, ' percentage points')}. {rests_on(row)}.{caution(row)}",
            "supported": bool(known(row["ci_low"]) and row["ci_low"] > 0),
            **copied(row),
        }
