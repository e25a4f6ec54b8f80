"""The table `neighbours`."""

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
    number,
    text,
    yes,
)

SPEC = TableSpec(
    "Which tasks lie nearest to each task, and how surely. The estimate is the distance. In split "
    "`tasks`: which tasks of the gallery lie nearest to each held-out task.",
    ("run", "encoder", "split", "task", "rank"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("metric", "distance between tasks, as in task_distances", "centroid_cosine"),
        text("task", "the task"),
        text("family", "its family"),
        count("rank", "1: the nearest task"),
        text("neighbour", "the task at that rank; null where `note` says why", nullable=True),
        text("neighbour_family", "family of the neighbour", nullable=True),
        yes("same_family", "task and neighbour are of one family", nullable=True),
        number(
            "support",
            "share of the bootstrap draws (dataset > group > seed) that hold both tasks in which "
            "it is the nearest; null where `note` says why",
            0,
            1,
        ),
        number("support_top3", "share of them in which it is among the three nearest", 0, 1),
        *ESTIMATE,
        *N,
        NOTE,
    ),
)
