"""The table `summary`."""

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
    yes,
)

SPEC = TableSpec(
    "The findings in sentences, each with its number and the control it depends on.",
    ("run", "finding", "encoder", "split"),
    (
        RUN,
        text("finding", "name of the finding"),
        ENCODER,
        SEED,
        SPLIT,
        text("sentence", "the finding for a reader"),
        yes("supported", "whether interval or test speak for it and its control passed"),
        text("control", "control that it depends on", nullable=True),
        yes(
            "control_passed",
            "whether that control passed; null: none or not run",
            nullable=True,
        ),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
