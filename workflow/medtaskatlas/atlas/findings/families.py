"""Whether the families that we assign appear by themselves."""

from __future__ import annotations

from medtaskatlas.atlas.findings.words import (
    ALPHA,
    TEST,
    WHERE,
    Rows,
    Tables,
    copied,
    of_models,
    rests_on,
)


def families(tables: Tables) -> Rows:
    """Whether the families that we assign appear by themselves."""
    frame = of_models(tables, "clusters")
    chosen = frame[
        (frame["measure"] == "ami")
        & (frame["metric"] == "centroid_cosine")
        & frame["estimate"].notna()
    ]
    for row in chosen.to_dict("records"):
        fits = row["p_adjusted"] < ALPHA
        words = "agree with" if fits else "do not agree, beyond chance, with"
        yield {
            "finding": "families_recovered",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, the distances between tasks in the space of "
            f"{row['encoder']}, cut into {row['n_clusters']} clusters, {words} the families "
            f"that we assign (adjusted mutual information {row['estimate']:.2f}, where 0 is chance "
            f"and 1 is the same; adjusted p = {row['p_adjusted']:.3g}). {rests_on(row)}.",
            "supported": bool(fits),
            "control": "duplicated_task",
            **copied(row),
            **{name: row[name] for name in TEST},
        }
