"""The table `trajectories`."""

from medtaskatlas.atlas.schemas.columns import (
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
    yes,
)

SPEC = TableSpec(
    "Does an embedding move steadily when a task is done more and more strongly to one image?",
    (
        "run", "encoder", "other", "seed", "split", "scope", "task", "dataset", "draw", "measure",
        "level",
    ),
    (
        RUN,
        text("encoder", "name of the encoder; raw_pixels: a control, output minus input itself"),
        ROLE,
        text("other", "of a difference: the encoder that is taken off", nullable=True),
        SEED,
        text(
            "split",
            "groups: test groups of trained datasets; datasets: datasets kept out of training",
            "groups",
            "datasets",
        ),
        text(
            "scope",
            "what the row is about: one image, all images of a dataset, or all of a task",
            "image",
            "dataset",
            "task",
        ),
        text("task", "the task"),
        text("family", "its family"),
        yes("task_trained", "whether the gallery holds the task"),
        yes(
            "asked_for",
            "whether the encoder was trained to move farther with severity, on other images",
        ),
        text("dataset", "the dataset; null for a task", nullable=True),
        text("image_id", "the image; null for more than one", nullable=True),
        count("draw", "number of its trajectory; null for more than one", nullable=True),
        text(
            "measure",
            "spearman: of severity and displacement, level 0 left out; path_over_chord: length of "
            "the path over the distance of its ends, 1 is straight (angles on the unit sphere; "
            "raw_pixels: mean absolute grey levels); turning_angle: mean angle between successive "
            "steps, degrees; displacement: from the level-0 embedding (1 - cosine; raw_pixels: "
            "grey levels). Over images: the median, with _p10 or _p90 that percentile. "
            "path_over_chord_difference: difference of two encoders' medians over the same images",
            "spearman",
            "spearman_p10",
            "path_over_chord",
            "path_over_chord_p90",
            "path_over_chord_difference",
            "turning_angle",
            "turning_angle_p90",
            "displacement",
            "displacement_p10",
            "displacement_p90",
        ),
        count("level", "of a displacement: step of the trajectory", nullable=True),
        number("severity", "of a displacement: its severity", 0, 1),
        *ESTIMATE,
        *N,
        NOTE,
    ),
)  # fmt: skip
