"""The table `identification`."""

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
    TableSpec,
    number,
    text,
)

SPEC = TableSpec(
    "How well an embedding names the task of pairs never seen in training.",
    ("run", "encoder", "seed", "split", "method", "task_subset", "measure", "level", "name"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        KIND,
        ROLE,
        text(
            "method",
            "knn: 20 nearest training pairs by cosine; linear: logistic "
            "regression; boosted: gradient boosted trees",
            "knn",
            "linear",
            "boosted",
        ),
        text(
            "task_subset",
            "all tasks, or only those that the format of the output does not "
            "give away (queries only; the gallery stays whole)",
            "all",
            "not_format_identifiable",
        ),
        text(
            "measure",
            "balanced_accuracy: share named right, every (dataset, task) cell "
            "counting alike; family_balanced_accuracy: the same for the family; kappa: "
            "Cohen's kappa of the balanced confusion; map_at_r: mean average precision at R",
            "balanced_accuracy",
            "family_balanced_accuracy",
            "kappa",
            "map_at_r",
        ),
        text("level", "what the row is about", "overall", "family", "task", "dataset", "modality"),
        text("name", "name of the family, task, dataset or modality; `all` for overall"),
        *ESTIMATE,
        number(
            "chance",
            "rate that the encoder's answers would reach if they were dealt out at random",
            0,
            1,
        ),
        *N,
        NOTE,
    ),
)
