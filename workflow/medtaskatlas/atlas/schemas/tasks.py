"""The table `tasks`."""

from medtaskatlas.atlas.schemas.columns import RUN, TableSpec, number, text, yes

SPEC = TableSpec(
    "The vision tasks of the run and what each does.",
    ("run", "task"),
    (
        RUN,
        text("task", "name of the task"),
        text("family", "family that we assign it to"),
        text("description", "what it does, in a line"),
        text("needs", "annotation that an image must have; empty: none"),
        text("severity_effect", "what grows with severity; null: no degrees", nullable=True),
        text("severity_unit", "unit of the effect", nullable=True),
        number("severity_min", "effect at severity 0"),
        number("severity_max", "effect at severity 1"),
        yes("format_identifiable", "whether the format of the output alone names the task"),
        yes("heldout", "whether it was kept out of training"),
    ),
)
