"""Columns and names that the tables of Medformer share."""

from __future__ import annotations

from medtaskatlas.atlas.columns import count, text

SET = text("set", "name of the dataset")
ARM = text(
    "arm",
    "name of the configured arm; <arm>_wrong_latents: the same model, asked with the modality, "
    "body part and task of another set",
)
LABELS = count("labels", "percent of the training labels that were used")
TARGET = text("target", "name of the target")
SCORE = text(
    "score",
    "name of the score; macro_auc, mean_auc, accuracy and mean_accuracy are those of MedMNIST",
)
