"""The table `confusion`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    RUN,
    SEED,
    SPLIT,
    N,
    TableSpec,
    number,
    text,
)

SPEC = TableSpec(
    "Which task is taken for which (kNN); rates of a true task sum to 1.",
    ("run", "encoder", "split", "true_task", "predicted_task"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("method", "knn", "knn"),
        text("true_task", "task of the pairs"),
        text("true_family", "its family"),
        text("predicted_task", "task that was named"),
        text("predicted_family", "its family"),
        number("count", "pairs named so, mean over seeds", 0, nullable=False),
        *ESTIMATE,
        *N,
        NOTE,
    ),
)
