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
    ("run", "encoder", "split", "measure", "factor", "within", "other"),
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
            "crossed subset; omega_squared_difference: share of the task minus that of the "
            "dataset; omega_squared_gain: share of the task minus that in the baseline `other`; "
            "permdisp: F of distances to the centroid",
            "silhouette",
            "silhouette_difference",
            "omega_squared",
            "omega_squared_difference",
            "omega_squared_gain",
            "permdisp",
        ),
        text("factor", "what pairs are grouped by: task, family, dataset, modality, interaction"),
        text("within", "all pairs, or one dataset or task at a time, or the crossed subset"),
        text(
            "other",
            "the baseline that is compared with; null but for omega_squared_gain",
            nullable=True,
        ),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
