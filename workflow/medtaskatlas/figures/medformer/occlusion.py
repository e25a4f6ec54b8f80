"""Where arms look: by how much the probability of the true class falls where a place is hidden."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from medtaskatlas.figures import style
from medtaskatlas.figures.medformer import parts
from medtaskatlas.formats.medformer_pictures import Occlusions

LEAST = 0.02  # fall that has the full colour, at least
COVER = 0.8  # how much of the image the full colour hides


def medformer_occlusion(pictures: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw a few test images of every set, and for each arm where hiding hurts (red) or helps."""
    style.use_style()
    file = Occlusions(pictures)
    if not len(file):
        style.save_note("no arm on single sets tells classes of images", svg, png)
        return
    arms: list[str] = file.meta["arms"]
    falls = np.stack([file.numpy(f"fall.{arm}") for arm in arms], axis=1)
    probabilities = np.stack([file.numpy(f"probability.{arm}") for arm in arms], axis=1)
    datasets, images, true = (file.numpy(name) for name in ("dataset", "image", "true"))
    sets: dict[str, list[parts.Shown]] = {}
    for name in dict.fromkeys(datasets):
        own = np.flatnonzero(datasets == name)
        top = max(LEAST, float(np.abs(falls[own]).max()))
        label = f"{name}\nfull colour: {top:.2f}"
        for row in own:
            shown = [images[row], *(coloured(images[row], fall / top) for fall in falls[row])]
            words = [str(true[row]), *(f"p = {p:.2f}" for p in probabilities[row])]
            sets.setdefault(label, []).append(parts.Shown(shown, words))
    style.save(parts.sheet(sets, ["image", *arms]), svg, png)


def coloured(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Picture uint8 [H, W, 3] with colours over it, as strong as a share [H, W] of -1..1."""
    grey = image.mean(axis=2, keepdims=True)
    colour = 255 * mpl.colormaps["RdBu_r"]((share + 1) / 2)[..., :3]
    cover = COVER * np.abs(share)[..., None]
    return ((1 - cover) * grey + cover * colour).round().astype(np.uint8)
