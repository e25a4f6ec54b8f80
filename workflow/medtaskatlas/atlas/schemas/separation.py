"""The table `separation`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    RUN,
    SEED,
    SPLIT,
    N,
    P,
    TableSpec,
    text,
)

SPEC = TableSpec(
    "What arranges the embedding: the task or the dataset?",
    ("run", "encoder", "split", "measure", "factor", "within"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("kind", "kind of the encoder"),
        text(
            "measure",
            "silhouette (cosine, -1 to 1); silhouette_difference: by task minus "
            "by dataset, a pair at a time; omega_squared: share of variance, balanced "
            "crossed subset; permdisp: F of distances to the centroid",
            "silhouette",
            "silhouette_difference",
            "omega_squared",
            "permdisp",
        ),
        text("factor", "what pairs are grouped by: task, family, dataset, modality, interaction"),
        text("within", "all pairs, or one dataset or task at a time, or the crossed subset"),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
