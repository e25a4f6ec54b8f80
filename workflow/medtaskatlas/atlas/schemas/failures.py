"""The table `failures`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    ROLE,
    RUN,
    SEED,
    N,
    TableSpec,
    count,
    number,
    text,
)

SPEC = TableSpec(
    "Are wrong ways of doing a task far from the right ways?",
    ("run", "encoder", "seed", "split", "task", "failure_kind", "measure"),
    (
        RUN,
        ENCODER,
        ROLE,
        SEED,
        text(
            "split",
            "groups: test groups of trained datasets; datasets: datasets kept out of training",
            "groups",
            "datasets",
        ),
        text("task", "task that goes wrong; `all`: mean over tasks, each counting alike"),
        text("family", "its family; null for all tasks", nullable=True),
        text("failure_kind", "how it goes wrong; `all`: all kinds together"),
        text(
            "measure",
            "separation_auc: probability that a held-out right pair is nearer to the task's right "
            "pairs than a failure is (mean cosine of its 20 nearest in the gallery; 1: all "
            "failures are farther, 0.5: no farther). accepted_rate: share of failures that "
            "kNN over all tasks still names as the task; low is good",
            "separation_auc",
            "accepted_rate",
        ),
        *ESTIMATE,
        number(
            "reference",
            "accepted_rate: that of held-out right pairs; separation_auc: 0.5, no separation",
            0,
            1,
        ),
        text(
            "goes_to",
            "of accepted_rate: other task that failures are named most; null: none",
            nullable=True,
        ),
        number("goes_to_rate", "share of failures named so", 0, 1),
        count("n_right", "held-out right pairs that the failures are compared with"),
        *N,
        NOTE,
    ),
)
