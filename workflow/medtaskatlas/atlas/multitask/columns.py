"""Columns that the tables of multi-task systems share."""

from __future__ import annotations

from medtaskatlas.atlas.columns import ESTIMATE, NOTE, RUN, SEED, P, count, number, text, yes

REFERENCES = ("stl", "stl_wide", "hps", "control")

PROBLEM = text("problem", "name of the problem")
SYSTEM = text("system", "name of the configured system")
WEIGHTING = text("weighting", "how it weighs losses or joins gradients")
SPLIT = text("split", "images that are asked: test, or val (those that choices were made on)")
TARGET = text("target", "name of the target; all: of all targets of the problem")
REFERENCE = (
    text(
        "reference_kind",
        "what the system is compared with: stl = single-task networks, stl_wide = those with as "
        "many parameters as the system, hps = hard sharing with tuned fixed weights, control = "
        "what has the system's parameters and lacks its idea (ctan_self of ctan); none",
        *REFERENCES,
        "none",
    ),
    text("reference", "the configured system that this is; null: there is none", nullable=True),
)
COUNTS = (
    count("n_images", "distinct images that the number rests on"),
    count("n_groups", "distinct groups among them"),
    count("n_subjects", "distinct subjects (of unknown ones: groups) among them"),
    count("n_datasets", "distinct datasets among them"),
)
ABOUT_SCORE = (
    text("unit", "unit of the score; 1 for shares"),
    yes("higher_is_better", "direction of the score"),
    number("low", "least possible value; null: none"),
    number("high", "largest possible value; null: none"),
)
WHO = (RUN, PROBLEM, SYSTEM, WEIGHTING, SEED)
MEASURED = (*ESTIMATE, *COUNTS, NOTE)
TESTED = (*ESTIMATE, *P, *COUNTS, NOTE)
