"""How far the meaning of a task explains that a restricted view tells it.

A probe that beats chance has not found a shortcut if the meaning of the task lies in its view:
noise is noise at the border, too. So each view sorts the tasks: some it may name (`alone`), some it
may narrow down to a few look-alikes (`together`), some it should not know at all (`not`). A probe
that cannot tell k look-alikes apart gives 1/k of its probability to each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

NOISE = (
    *("denoising_gaussian", "denoising_poisson", "despeckling"),
    *("impulse_removal", "rician_denoising", "low_dose_ct"),
)
BLUR = ("deblurring", "motion_deblurring", "super_resolution")
ARTEFACTS = (
    *("gibbs_removal", "ghosting_removal", "spike_removal"),
    *("undersampled_mri", "jpeg_artifact_removal"),
)
MISSING = ("inpainting", "outpainting")
SHADING = ("bias_field_correction",)
COLOUR = ("colorization",)
RESTORED = (*NOISE, *BLUR, *ARTEFACTS, *MISSING, *SHADING, *COLOUR)
DRAWN = (
    *("segmentation", "multiclass_segmentation", "instance_segmentation", "detection"),
    *("boundary", "distance_map", "centroid_heatmap", "skeleton"),
    *("object_isolation", "classification"),
)
FLIPS = ("horizontal_flip", "vertical_flip")
ELASTIC = ("elastic_deformation",)
SHEAR = ("shear",)
ZOOM = ("scaling",)
RIGID = ("rotation", "translation")
MOVES = (*RIGID, *ELASTIC)
WARPS = (*MOVES, *SHEAR, *ZOOM)
GREY_MAPS = ("brightness", "contrast_gamma", "inversion", "histogram_equalisation", "pseudocolour")
FILTERS = ("noise_addition", "sharpening", "edges")


class Told(Enum):
    """How far a view may tell a task."""

    ALONE = "alone"
    TOGETHER = "together"
    NOT = "not"


@dataclass(frozen=True)
class Meaning:
    """Tasks that a view may tell to some extent, and why."""

    tasks: tuple[str, ...]  # Their names; look-alikes of each other where they are told together
    told: Told  # How far the view may tell them
    reason: str  # Why, in a sentence


MEANINGS: dict[str, tuple[Meaning, ...]] = {
    "border": (
        Meaning(DRAWN, Told.ALONE, "drawings have a plain ground, and some reach the border"),
        Meaning(
            (*NOISE, *BLUR, *ARTEFACTS, *SHADING, *COLOUR, *GREY_MAPS, *FILTERS),
            Told.ALONE,
            "it acts on every pixel, and so on those of the border",
        ),
        Meaning(MISSING, Told.ALONE, "what is missing is missing at the border, too"),
        Meaning(FLIPS, Told.TOGETHER, "a mirrored border holds the pixels of the border"),
        Meaning(
            ELASTIC, Told.ALONE, "it moves pixels by few only, so the border stays nearly as it was"
        ),
        Meaning(
            (*RIGID, *SHEAR, *ZOOM),
            Told.TOGETHER,
            "the border shows other parts of the picture; what comes from beyond it is filled "
            "alike for all",
        ),
    ),
    "histogram": (
        Meaning(DRAWN, Told.ALONE, "drawings have grey levels or colours of their own"),
        Meaning(NOISE, Told.ALONE, "noise widens the histogram in the way that defines it"),
        Meaning(SHADING, Told.ALONE, "a gain that varies spreads the grey levels"),
        Meaning(COLOUR, Told.ALONE, "one side has colours, the other has none"),
        Meaning(
            (*GREY_MAPS, *FILTERS), Told.ALONE, "it is a change of grey levels, or makes new ones"
        ),
        Meaning(
            BLUR, Told.TOGETHER, "averages take away the extremes, however the average is made"
        ),
        Meaning(
            ARTEFACTS, Told.ALONE, "each lays its own pattern over the picture, of its own strength"
        ),
        Meaning(
            MISSING, Told.NOT, "a hole is a place; with which grey level it is filled is our choice"
        ),
        Meaning(FLIPS, Told.TOGETHER, "mirroring keeps every pixel, so both histograms are equal"),
        Meaning(
            WARPS, Told.TOGETHER, "pixels move, and some leave the picture; positions are hidden"
        ),
    ),
    "input_only": (
        Meaning(RESTORED, Told.ALONE, "the damage that the task repairs is in the input"),
        Meaning(
            (*DRAWN, *FLIPS, *WARPS, *GREY_MAPS, *FILTERS),
            Told.TOGETHER,
            "the input is the prepared image, as in all these tasks",
        ),
    ),
    "output_only": (
        Meaning(DRAWN, Told.ALONE, "drawings look like no picture, and each kind has its look"),
        Meaning(GREY_MAPS, Told.ALONE, "the output is darker, brighter or flatter than pictures"),
        Meaning(FILTERS, Told.ALONE, "the output is rougher or sharper than pictures are"),
        Meaning(ZOOM, Told.ALONE, "a zoomed picture is coarser or finer than pictures are"),
        Meaning(
            (*RESTORED, *FLIPS, *MOVES, *SHEAR),
            Told.TOGETHER,
            "the output looks like an ordinary picture, as in all these tasks",
        ),
    ),
    "residue": (
        Meaning(DRAWN, Told.ALONE, "drawings have edges of their own kind and no texture"),
        Meaning(RESTORED, Told.ALONE, "the damage is in the fine detail, or spares it as defined"),
        Meaning(GREY_MAPS, Told.ALONE, "detail is kept or scaled while its grey level changes"),
        Meaning(FILTERS, Told.ALONE, "it is a change of fine detail"),
        Meaning(ZOOM, Told.ALONE, "zooming makes detail coarser or finer"),
        Meaning(FLIPS, Told.TOGETHER, "mirrored detail has the same statistics"),
        Meaning(SHEAR, Told.ALONE, "shearing stretches detail one way and squeezes it the other"),
        Meaning(
            MOVES, Told.TOGETHER, "detail moves; how it is resampled should not name the movement"
        ),
    ),
}
UNSTATED = "no expectation is stated for this task: judge by what it does"


def meaning(view: str, task: str) -> Meaning | None:
    """Stated meaning of a task in a view; None for tasks of users, and views that are controls."""
    return next((m for m in MEANINGS.get(view, ()) if task in m.tasks), None)


def explained(view: str, tasks: list[str], there: np.ndarray) -> np.ndarray:
    """Probability of the true task that the meaning of each task [T] explains in a view.

    1 where the view may name the task; one over the number of look-alikes, mean over the task's
    datasets (`there` [D, T]), where it may narrow it down to them; else NaN.
    """
    out = np.full(len(tasks), np.nan)
    for t, task in enumerate(tasks):
        found = meaning(view, task)
        if found is None or found.told is Told.NOT:
            continue
        alike = (
            np.isin(tasks, found.tasks) if found.told is Told.TOGETHER else np.eye(len(tasks))[t]
        )
        out[t] = (1 / (there[there[:, t]] @ alike.astype(float))).mean()
    return out
