"""A task of your own in one file: copy it, rename the last function, change what it does.

medtaskatlas tasks check mine/thick_slice_restoration.py
snakemake --cores all --config tasks_dir=mine

Step by step: docs/your_own_task.md.
"""

from __future__ import annotations

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.pixels import scale_of
from medtaskatlas.tasks.task import Ladder, Params, task

# 1. How strong it is: at severity 0 a slice is one pixel thick, which changes nothing.
THICKNESS = Ladder("slice thickness", "pixels at 64 px", 1, 8)


# 2. What is random about it. The result is stored with the pair: plain numbers, strings, lists.
def draw(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    """Draw across which direction the slices lie."""
    return {
        "thickness": THICKNESS.at(severity),
        "across": str(rng.choice(["rows", "columns"])),
    }


# 3. What it does, with nothing random left: the same image and params give the same pair.
@task(family="generative", draw=draw, ladder=THICKNESS)
def thick_slice_restoration(sample: Sample, params: Params) -> tuple[np.ndarray, np.ndarray]:
    """Recover a reformatted view from thick slices, which average along one direction.

    A coronal or sagittal view of an axial scan has few, thick rows. Each is the mean over the
    thickness of its slice (the partial volume effect) and is shown by linear interpolation between
    slices (Greenspan, Super-Resolution in Medical Imaging, The Computer Journal 52(1), 2009).
    """
    image = sample.image
    height, width = image.shape[:2]
    # Stated for 64 px and scaled with the image, so that the task is the same at every size.
    thickness = 1 + (params["thickness"] - 1) * scale_of(image)
    size = [width, height]
    along = 1 if params["across"] == "rows" else 0
    size[along] = max(4, round(size[along] / thickness))
    slices = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    view = cv2.resize(slices, (width, height), interpolation=cv2.INTER_LINEAR)
    # OpenCV drops the channel of a one-channel image.
    return view.reshape(image.shape), image
