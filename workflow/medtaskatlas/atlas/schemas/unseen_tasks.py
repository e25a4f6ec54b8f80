"""The table `unseen_tasks`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    KIND,
    NOTE,
    ROLE,
    RUN,
    SEED,
    SPLIT,
    N,
    P,
    TableSpec,
    count,
    number,
    text,
    yes,
)

SPEC = TableSpec(
    "Every task held out of training once: do its pairs fall among tasks of its own family?",
    ("run", "encoder", "split", "measure", "level", "name", "other"),
    (
        RUN,
        ENCODER,
        KIND,
        ROLE,
        SEED,
        SPLIT,
        text(
            "measure",
            "family_accuracy: share of pairs whose 20 nearest training pairs, none of their own "
            "task, name their family, every (dataset, task) cell counting alike; tasks_placed: "
            "number of tasks most of whose neighbours are of their family",
            "family_accuracy",
            "tasks_placed",
        ),
        text(
            "level",
            "what the row is about; difference: encoder minus `other` on the same pairs",
            "overall",
            "family",
            "task",
            "difference",
        ),
        text("name", "name of the family or task; `all` for overall and difference"),
        text("other", "encoder that it is compared with", nullable=True),
        text("family", "family of the task", nullable=True),
        text("placed_family", "family of most of its neighbours", nullable=True),
        yes("placed_right", "whether that is its own", nullable=True),
        text("nearest_task", "task of most of its neighbours", nullable=True),
        number("nearest_share", "share of the neighbours that are of that task", 0, 1),
        text("kin", "the task nearest to it once it has been trained on", nullable=True),
        count("kin_rank", "place of the kin among the neighbours' tasks, from 1", nullable=True),
        number("reference", "mean of the estimate if families were dealt out at random"),
        count("n_tasks", "tasks that the number rests on"),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
