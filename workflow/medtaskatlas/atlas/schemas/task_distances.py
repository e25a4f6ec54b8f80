"""The table `task_distances`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    RUN,
    SEED,
    SPLIT,
    N,
    TableSpec,
    text,
)

SPEC = TableSpec(
    "How far apart tasks lie, over all seeds. In split `tasks` one of the two tasks at least was "
    "held out: held-out tasks are compared with every task of the gallery and with each other, by "
    "held-out pairs of both.",
    ("run", "encoder", "split", "metric", "task_a", "task_b"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text(
            "metric",
            "centroid_cosine: 1 - cosine of the dataset-balanced centroids; "
            "energy: energy distance as a share of twice the mean distance between the tasks; "
            "mmd: maximum mean discrepancy with a Gaussian kernel of median width, 0 to 1.41",
            "centroid_cosine",
            "energy",
            "mmd",
        ),
        text("task_a", "a task"),
        text("task_b", "another task, later in the alphabet"),
        text("family_a", "family of task_a"),
        text("family_b", "family of task_b"),
        *ESTIMATE,
        *N,
        NOTE,
    ),
)
