"""Whether tasks that training never saw fall among their own family."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    ALPHA,
    COUNTS,
    TEST,
    WHERE,
    Rows,
    Tables,
    copied,
    known,
    percent,
    rests_on,
)


def unseen_tasks(tables: Tables) -> Rows:
    """Whether tasks that training never saw fall among their own family."""
    if "unseen_tasks" not in tables:
        return
    frame = tables["unseen_tasks"]
    overall = frame[(frame["level"] == "overall") & (frame["role"] == "model")]
    shares = overall[overall["measure"] == "family_accuracy"].set_index(["encoder", "split"])
    placed = overall[(overall["measure"] == "tasks_placed") & overall["estimate"].notna()]
    for row in placed.to_dict("records"):
        encoder, split = row["encoder"], row["split"]
        tested = known(row["p_adjusted"])
        test = ""
        if tested:
            test = (
                f"; {row['reference']:.1f} would if families were dealt out at random, "
                f"adjusted p = {row['p_adjusted']:.2g}"
            )
        share = shares.loc[(encoder, split)].to_dict()
        yield {
            "finding": "unseen_tasks_placed",
            "encoder": encoder,
            "split": split,
            "sentence": f"{WHERE[split]}, {row['estimate']:.0f} of {row['n_tasks']} tasks, each "
            f"kept out of a training of {encoder}, fall among training pairs of their own family"
            f"{test} (a count over a fixed set of tasks, without an interval). Their family is "
            f"named right in {percent(share)} of cases. {rests_on(row)}.",
            "supported": bool(tested and row["p_adjusted"] < ALPHA),
            **copied(row),
            **{name: row[name] for name in (*TEST, *COUNTS)},
        }
