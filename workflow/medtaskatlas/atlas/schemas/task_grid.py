"""The table `task_grid`."""

from medtaskatlas.atlas.schemas.columns import RUN, TableSpec, count, text, yes

SPEC = TableSpec(
    "Which task was made on which dataset, and how much of it.",
    ("run", "task", "dataset"),
    (
        RUN,
        text("task", "name of the task"),
        text("family", "its family"),
        text("dataset", "name of the dataset"),
        text("modality", "its modality", nullable=True),
        yes("applicable", "whether pairs exist"),
        text("reason", "why there are none", nullable=True),
        count("n_pairs", "pairs"),
        count("n_images", "distinct images"),
        count("n_groups", "distinct groups"),
    ),
)
