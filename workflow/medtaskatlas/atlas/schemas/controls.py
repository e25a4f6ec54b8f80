"""The table `controls`."""

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
    yes,
)

SPEC = TableSpec(
    "Checks that would fail if the measurement were wrong.",
    ("run", "control", "encoder", "split"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("control", "name of the control"),
        text("expectation", "what must come out, in words"),
        *ESTIMATE,
        number("reference", "value that the estimate is held against"),
        yes("passed", "whether it came out; null: could not be run", nullable=True),
        *N,
        NOTE,
    ),
)
