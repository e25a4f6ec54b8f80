"""The table `scaling`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    RUN,
    SEED,
    SPLIT,
    N,
    TableSpec,
    count,
    text,
)

SPEC = TableSpec(
    "What would more data buy: quality after the same steps on fewer pairs, or fewer datasets.",
    ("run", "encoder", "seed", "split", "axis", "measure", "train_datasets", "train_pairs"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("axis", "what is varied; all: everything that there is", "pairs", "datasets", "all"),
        text(
            "measure",
            "balanced_accuracy and family_balanced_accuracy of kNN, gallery and training from the "
            "same data; gain_per_doubling: slope of balanced_accuracy on log2 of what is varied",
            "balanced_accuracy",
            "family_balanced_accuracy",
            "gain_per_doubling",
        ),
        count("train_datasets", "datasets trained on; null: a slope over them", nullable=True),
        count("train_pairs", "pairs trained on; null: a slope over them", nullable=True),
        count("steps", "optimiser steps"),
        *ESTIMATE,
        *N,
        NOTE,
    ),
)
