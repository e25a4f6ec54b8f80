"""Whether probes tell tasks by debris."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import COUNTS, WHERE, Rows, Tables, rests_on


def shortcuts(tables: Tables) -> Rows:
    """Whether probes tell tasks by debris."""
    if "shortcuts" not in tables:
        return
    table = tables["shortcuts"]
    for split, rows in table.groupby("split", sort=False):
        shuffled = rows[rows["view"] == "shuffled"]
        views = rows[~rows["view"].isin(["shuffled", "all"])]
        judged = views[(views["level"] == "task") & views["flagged"].notna()]
        if judged.empty:
            continue
        found = judged[judged["flagged"].astype(bool)].sort_values("estimate", ascending=False)
        told = ", ".join(
            f"{row['name']} by {row['view']} ({100 * row['estimate']:.0f} %)"
            for row in found.to_dict("records")
        )
        passed = not shuffled["flagged"].fillna(False).any()
        words = f"more than chance and meaning explain: {told}" if told else "none too often"
        failed = "" if passed else " The control (shuffled labels) failed: do not rely on it."
        n = views[views["level"] == "overall"].iloc[0].to_dict()
        yield {
            "finding": "no_shortcuts",
            "encoder": "probe",
            "split": split,
            "sentence": f"{WHERE[str(split)]}, probes that see only the border, the histogram, "
            f"one side or the fine residue of a pair name, of {len(judged)} (task, view) "
            f"combinations, {words}.{failed} {rests_on(n)}.",
            "supported": bool(found.empty and passed),
            "estimate": len(found) / len(judged),
            "note": "a share of verdicts, so there is no interval",
            **{name: n[name] for name in COUNTS},
        }
