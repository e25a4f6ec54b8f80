"""Whether the families that we assign appear by themselves."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    ALPHA,
    TEST,
    WHERE,
    Rows,
    Tables,
    copied,
    known,
    models,
    rests_on,
)


def families(tables: Tables) -> Rows:
    """Whether the families that we assign appear by themselves, and more clearly than without us.

    An untrained network may show them too, since the families differ in kind: so each sentence
    names the best baseline beside it.
    """
    frame = tables["clusters"]
    frame = frame[
        (frame["measure"] == "ami")
        & (frame["metric"] == "centroid_cosine")
        & frame["estimate"].notna()
    ]
    about = tables["identification"]
    baselines = frame[frame["encoder"].isin(about[about["role"] == "baseline"]["encoder"])]
    for row in frame[frame["encoder"].isin(models(tables))].to_dict("records"):
        tested = known(row["p_adjusted"])
        fits = tested and row["p_adjusted"] < ALPHA
        test = f"; adjusted p = {row['p_adjusted']:.3g}" if tested else "; not tested"
        words = "agree with" if fits else "do not agree, beyond chance, with"
        beside, best = "", baselines[baselines["split"] == row["split"]]
        if len(best):
            top = best.loc[best["estimate"].idxmax()]
            beside = (
                f"; {top['encoder']}, which learned nothing of tasks, reaches {top['estimate']:.2f}"
            )
        yield {
            "finding": "families_recovered",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, the distances between tasks in the space of "
            f"{row['encoder']}, cut into {row['n_clusters']} clusters, {words} the families "
            f"that we assign (adjusted mutual information {row['estimate']:.2f}, where 0 is chance "
            f"and 1 is the same{test}{beside}; a statistic of one clustering, without an "
            f"interval). {rests_on(row)}.",
            "supported": bool(fits),
            "control": "duplicated_task",
            **copied(row),
            **{name: row[name] for name in TEST},
        }
