"""The page that shows every task: ``python -m medtaskatlas.site.gallery`` writes it.

Its pictures are made from images that ship in packages and may be passed on, so anyone can make the
page again. With a folder of tasks of one's own it is the quickest way to look at them::

    python -m medtaskatlas.site.gallery --tasks-dir mine --out look
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from medtaskatlas.core.errors import AtlasError
from medtaskatlas.core.files import REPOSITORY, atomic_write
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.figures.frames import family_order, modality_name, plain
from medtaskatlas.figures.gallery import Measures, Row, draw_examples, effects, gallery_row
from medtaskatlas.figures.panels import sheet
from medtaskatlas.figures.style import use_style
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.preview import PLACES, SEVERITIES, Candidates, candidates
from medtaskatlas.tasks.task import Task

DPI = 100
IMAGE_PX = 80
# Whole pixels at DPI, so that no picture is resampled.
SIZE = Measures(side=IMAGE_PX / DPI, gap=0.13, between=0.30, font=8, pixels=IMAGE_PX)
EDGE = 0.05


@dataclass(frozen=True)
class Shown:
    """A dataset of the page, whose licence lets pictures be passed on."""

    name: str  # of the catalogue
    begins: str = ""  # only images whose id begins so; that with just this id goes first
    credit: str = ""  # origin and licence of these images; empty: the catalogue's
    plane_is_label: bool = False  # the plane of a slice stands in as the image's label


# The preferred ones first.
SHOWN = (
    Shown(
        "ct_dicom",
        begins="explicit_VR-UN",
        credit="Pancreas-CT (Roth et al., The Cancer Imaging Archive, 2016), CC-BY-3.0, as it is "
        "stored: back up",
    ),
    Shown("mni152_regions", plane_is_label=True),
    Shown("ihc_colon"),
    Shown("fundus_retina"),
)


def write_gallery(tasks: Sequence[Task], out: Path) -> Path:
    """Write gallery.md and a picture a task, gallery/<task>.png, into a folder."""
    use_style()
    notes = {}
    with TemporaryDirectory() as folder:
        sets = [shown_images(shown, Path(folder), IMAGE_PX) for shown in SHOWN]
        for task in tasks:
            row = gallery_row(task, sets, seed=0)
            notes[task.name] = row.note
            if row.shown:
                _picture(row, out / "gallery" / f"{task.name}.png")
    page = out / "gallery.md"
    with atomic_write(page) as part:
        part.write_text(page_text(tasks, notes))
    return page


def page_text(tasks: Sequence[Task], notes: Mapping[str, str] | None = None) -> str:
    """The words of the page; ``notes`` tell why a task has no picture."""
    notes = notes or {}
    lines = [
        "# Gallery of the task bank",
        "",
        "Made by `python -m medtaskatlas.site.gallery`; do not edit. The arrow leads from input to "
        "output. Numbers below pictures are severities, from 0 (none) to 1 (strongest); along them "
        "every other draw stays the same. The same for the data of a run: "
        "`results/<run>/figures/gallery.png`. As a table: [tasks](tasks.md). To add one: "
        "[your own task](your_own_task.md).",
        "",
        *_credits(),
    ]
    for family in family_order(task.family for task in tasks):
        lines += ["", f"## {family.capitalize()}"]
        for task in tasks:
            if task.family == family:
                picture = f"![{plain(task.name)}](gallery/{task.name}.png)"
                note = notes.get(task.name, "")
                lines += ["", f"### `{task.name}`", "", _words(task), ""]
                lines += [note or picture]
    return "\n".join(lines) + "\n"


def _credits() -> list[str]:
    """Where the pictures are from, an item a dataset."""
    catalogue = load_catalogue()
    lines = []
    for shown in SHOWN:
        entry = catalogue[shown.name]
        credit = shown.credit or f"{' '.join(entry.citation.split())}, {entry.licence}"
        lines.append(f"- {modality_name(entry.modality)}: {credit} (`{shown.name}`)")
        if entry.annotation == "derived":
            lines[-1] += f"; annotation derived: {entry.annotation_note}"
        if shown.plane_is_label:
            lines[-1] += "; its label is the plane of the slice, on this page only"
    return lines


def _words(task: Task) -> str:
    """What is to be said of a task."""
    words = [f"{task.description}."]
    if task.needs:
        words.append(f"Needs: {', '.join(sorted(task.needs))}.")
    if task.ladder is not None:
        words.append(f"Severity 0 to 1: {task.ladder}; here {effects(task, SEVERITIES)}.")
    if task.extra:
        words.append("*Extra: runs where a configuration names it.*")
    if task.format_identifiable:
        words.append("*Identified by the format of its output.*")
    return " ".join(words)


def shown_images(shown: Shown, folder: Path, image_px: int) -> Candidates:
    """Fetch and prepare a dataset of the page; candidates are views into the prepared file."""
    dataset = load_catalogue()[shown.name]
    raw, path = folder / "raw" / shown.name, folder / f"{shown.name}.arrow"
    fetch(dataset, raw)
    prepare(
        dataset, raw, path, image_size=image_px,
        splits={"train": 0.6, "val": 0.2, "test": 0.2}, seed=0,
    )  # fmt: skip
    images = ImageSet(path)
    ids = images.column("image_id").to_pylist()
    found = candidates(images, [k for k, name in enumerate(ids) if name.startswith(shown.begins)])
    found = _ordered(
        found, sorted(range(len(found.rows)), key=lambda k: ids[found.rows[k]] != shown.begins)
    )
    return _with_planes(found, images) if shown.plane_is_label else found


def _ordered(found: Candidates, order: Sequence[int]) -> Candidates:
    """Candidates in another order."""
    rows, samples = found.rows, found.samples
    return replace(
        found, rows=tuple(rows[k] for k in order), samples=tuple(samples[k] for k in order)
    )


def _with_planes(found: Candidates, images: ImageSet) -> Candidates:
    """The plane of a slice as the image's label; one image of every plane first."""
    plane = images.numpy("axis")[list(found.rows)]
    names, labels = np.unique(plane, return_inverse=True)
    samples = tuple(
        replace(sample, label=int(label), n_labels=len(names))
        for sample, label in zip(found.samples, labels, strict=True)
    )
    turn = [int((labels[:k] == label).sum()) for k, label in enumerate(labels)]
    return _ordered(replace(found, samples=samples), sorted(range(len(turn)), key=turn.__getitem__))


def _picture(row: Row, path: Path) -> None:
    """The examples of a task as a PNG."""
    width = 2 * EDGE + SIZE.width(PLACES)
    height = EDGE + SIZE.side + SIZE.caption
    figure, axes = sheet(round(width * DPI) / DPI, round(height * DPI) / DPI)
    draw_examples(axes, row.task, row.shown, (EDGE, EDGE), SIZE)
    buffer = BytesIO()
    with mpl.rc_context({"savefig.bbox": None}):
        figure.savefig(buffer, format="png", dpi=DPI)
    plt.close(figure)
    # In 256 colours, half the bytes: these files are kept in git.
    colours = Image.open(buffer).convert("RGB")
    few = colours.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    with atomic_write(path) as part:
        few.save(part, format="PNG", optimize=True)


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(prog="python -m medtaskatlas.site.gallery")
    parser.add_argument("tasks", nargs="*", help="names of tasks; default: all, extras too")
    parser.add_argument("--tasks-dir", type=Path, help="folder with tasks of your own")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs", help="folder to write to")
    given = parser.parse_args()
    try:
        bank = load_bank(given.tasks_dir)
        names = select_tasks(given.tasks, bank) if given.tasks else list(bank)
        print(f"wrote {write_gallery([bank[name] for name in names], given.out)}")
    except AtlasError as error:
        sys.exit(f"medtaskatlas: {error}")


if __name__ == "__main__":
    main()
