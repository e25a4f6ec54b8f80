"""The table `comparisons`."""

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
)

SPEC = TableSpec(
    "Is one encoder better than another? Differences on the same pairs, draw by draw.",
    ("run", "contrast", "encoder", "method", "other", "other_method", "split", "measure"),
    (
        RUN,
        text(
            "contrast",
            "pair: two encoders, both kNN; best_baseline: against the baseline "
            "with the best kNN estimate; best_probe: against the best baseline with any "
            "method, supervised probes included",
            "pair",
            "best_baseline",
            "best_probe",
        ),
        ENCODER,
        text("kind", "kind of the encoder"),
        text("method", "method of the encoder"),
        text("other", "the encoder it is compared with"),
        text("other_kind", "its kind"),
        text("other_method", "its method"),
        SEED,
        SPLIT,
        text("measure", "balanced_accuracy, family_balanced_accuracy or map_at_r"),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
