"""Whether learning from tasks is worth it: models beside the best baselines."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    TEST,
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


def beats_baseline(tables: Tables) -> Rows:
    """Whether learning from tasks is worth it."""
    frame = of_models(tables, "comparisons")
    frame = frame[(frame["measure"] == "balanced_accuracy") & frame["estimate"].notna()]
    against = {
        "best_baseline": ("best_baseline", "the best baseline, {other}"),
        "best_probe": (
            "best_supervised_baseline",
            "the best baseline when that may learn from the training labels too ({other}, {how})",
        ),
    }
    for contrast, (finding, words) in against.items():
        for row in frame[frame["contrast"] == contrast].to_dict("records"):
            other = words.format(other=row["other"], how=row["other_method"])
            more = "more" if row["estimate"] >= 0 else "less"
            shown = dict(row)
            if row["estimate"] < 0:
                shown |= {
                    "estimate": -row["estimate"],
                    "ci_low": -row["ci_high"],
                    "ci_high": -row["ci_low"],
                }
            test = f", adjusted p = {row['p_adjusted']:.3g}" if known(row["p_adjusted"]) else ""
            yield {
                "finding": f"beats_{finding}",
                "encoder": row["encoder"],
                "split": row["split"],
                "sentence": f"{WHERE[row['split']]}, {row['encoder']} names the task right "
                f"{percent(shown, ' percentage points')} {more} often than {other}{test}. "
                f"{rests_on(row)}.{caution(row)}",
                "supported": bool(known(row["ci_low"]) and row["ci_low"] > 0),
                "control": "shuffled_gallery",
                **copied(row),
                **{name: row[name] for name in TEST},
            }
