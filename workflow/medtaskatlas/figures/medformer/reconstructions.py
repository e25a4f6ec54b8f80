"""What masked pre-training makes of hidden cells."""

from __future__ import annotations

from pathlib import Path

from medtaskatlas.figures import style
from medtaskatlas.figures.medformer import parts
from medtaskatlas.formats.medformer_pictures import Reconstructions

COLUMNS = {"image": "image", "masked": "as seen", "reconstruction": "reconstruction"}


def medformer_reconstructions(pictures: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw image, masked image and reconstruction of a few validation images of every set."""
    style.use_style()
    file = Reconstructions(pictures)
    if not len(file):
        style.save_note("nothing was pre-trained by masking", svg, png)
        return
    columns = [file.numpy(name) for name in COLUMNS]
    sets: dict[str, list[parts.Shown]] = {}
    for row, name in enumerate(file.numpy("dataset")):
        sets.setdefault(str(name), []).append(parts.Shown([column[row] for column in columns]))
    style.save(parts.sheet(sets, list(COLUMNS.values())), svg, png)
