"""The table `shortcuts`."""

from medtaskatlas.atlas.schemas.columns import (
    ESTIMATE,
    NOTE,
    RUN,
    SPLIT,
    N,
    TableSpec,
    number,
    text,
    yes,
)

SPEC = TableSpec(
    "Could a network tell the tasks by debris? How far probes get that see restricted views.",
    ("run", "view", "split", "level", "name"),
    (
        RUN,
        text(
            "view",
            "what the probe sees. border: a strip of 2 pixels along the border of both sides; "
            "histogram: grey levels and colours of both sides without position; input_only, "
            "output_only: one side; residue: what is finer than 3 pixels, of both sides; all: "
            "both sides whole (features of the `pixels` baseline); shuffled: the same with "
            "labels permuted in training",
            "border",
            "histogram",
            "input_only",
            "output_only",
            "residue",
            "all",
            "shuffled",
        ),
        SPLIT,
        text("level", "what the row is about", "overall", "task"),
        text("name", "name of the task; `all` for overall"),
        text("family", "family of the task", nullable=True),
        *ESTIMATE,
        number(
            "chance",
            "probability that the task would get if the probe's answers were dealt out at "
            "random among the pairs of its datasets",
            0,
            1,
        ),
        number(
            "explained",
            "probability of the true task that its meaning explains: 1 if the view may name "
            "it, 1/k if it may narrow it down to k look-alikes; null: nothing beyond chance, "
            "or nothing stated",
            0,
            1,
        ),
        number("named_right", "share whose true task got the largest probability", 0, 1),
        text("rival", "other task that gets most probability on its pairs", nullable=True),
        number("rival_rate", "mean probability of the rival", 0, 1),
        yes(
            "expected",
            "whether the task's meaning explains that this view names it; null: not stated",
            nullable=True,
        ),
        yes(
            "flagged",
            "whether ci_low is more than 0.1 above chance and above what is explained; null: "
            "not judged, or no interval",
            nullable=True,
        ),
        text("reason", "why it is or is not expected"),
        *N,
        NOTE,
    ),
)
