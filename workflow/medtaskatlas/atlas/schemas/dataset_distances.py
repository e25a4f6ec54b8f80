"""The table `dataset_distances`."""

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
    count,
    text,
)

SPEC = TableSpec(
    "How far apart datasets lie, the tasks being the same; and are two datasets of one modality "
    "nearer than two of different ones?",
    ("run", "encoder", "split", "metric", "level", "dataset_a", "dataset_b"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text(
            "metric",
            "centroid_cosine: 1 - cosine of the centroids; energy: energy distance as a share of "
            "twice the mean distance between the datasets; both over the tasks that the two "
            "datasets have, each counting alike",
            "centroid_cosine",
            "energy",
        ),
        text(
            "level",
            "pair: of two datasets; one_modality, two_modalities: mean over pairs of datasets of "
            "one modality, or of two; modality_difference: the second mean minus the first, with "
            "the p of modalities permuted over datasets; anosim: the same on ranks, -1 to 1 "
            "(Clarke, 1993)",
            "pair",
            "one_modality",
            "two_modalities",
            "modality_difference",
            "anosim",
        ),
        text("dataset_a", "a dataset; null where the row is of many", nullable=True),
        text("dataset_b", "another dataset, later in the alphabet", nullable=True),
        text("modality_a", "modality of dataset_a", nullable=True),
        text("modality_b", "modality of dataset_b", nullable=True),
        count("n_tasks", "tasks that both datasets have; in rows of many, that any has"),
        count("n_dataset_pairs", "pairs of datasets that the number is a mean of"),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
