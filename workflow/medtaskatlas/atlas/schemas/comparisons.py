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
    "Is one encoder better than another, and do two arrange the tasks alike? Differences and "
    "agreement on the same pairs, draw by draw.",
    ("run", "contrast", "encoder", "method", "other", "other_method", "split", "measure"),
    (
        RUN,
        text(
            "contrast",
            "pair: two encoders, both kNN; best_baseline: against the baseline "
            "with the best kNN estimate; best_probe: against the best baseline with any "
            "method, supervised probes included; geometry: how alike two embeddings are, or one is "
            "to itself (`other` is the same encoder)",
            "pair",
            "best_baseline",
            "best_probe",
            "geometry",
        ),
        ENCODER,
        text("kind", "kind of the encoder"),
        text(
            "method",
            "method of the encoder; for geometry what is compared: embedding (pairs), "
            "centroid_cosine (task distances), seeds or groups (what the noise ceiling is over)",
        ),
        text("other", "the encoder it is compared with"),
        text("other_kind", "its kind"),
        text("other_method", "its method"),
        SEED,
        SPLIT,
        text(
            "measure",
            "differences of balanced_accuracy, family_balanced_accuracy or map_at_r; "
            "mantel_spearman: correlation of the task distances of two encoders, p by relabelling "
            "tasks, one-sided; cka_debiased: debiased linear CKA of unit vectors, of an encoder "
            "with itself between its seeds; noise_ceiling_low, noise_ceiling_high: Spearman "
            "correlation that anything could reach with the task distances of the encoder, given "
            "its seeds or its groups",
            "balanced_accuracy",
            "family_balanced_accuracy",
            "map_at_r",
            "mantel_spearman",
            "cka_debiased",
            "noise_ceiling_low",
            "noise_ceiling_high",
        ),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
