"""The interactive atlas as one HTML file: results/<run>/atlas.html."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from medtaskatlas.core.files import atomic_write
from medtaskatlas.figures.frames import html_table, modality_name
from medtaskatlas.figures.interactive.data import FEWEST, MAX_PAIRS, Content, gather
from medtaskatlas.figures.interactive.encoding import script_json
from medtaskatlas.figures.interactive.sprites import TILE
from medtaskatlas.figures.interactive.static_files import STYLE, TEMPLATE, script

PROJECTION = (
    "features standardised, PCA to 30 dimensions, then t-SNE (van der Maaten and Hinton, 2008; "
    "perplexity 30)"
)


def interactive_atlas(  # noqa: PLR0917 - what is read is positional, as in every table
    embedding_paths: Sequence[str | Path],
    prediction_paths: Sequence[str | Path],
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    task_distances_path: str | Path,
    out: str | Path,
    *,
    run: str,
    functional_distance_path: str | Path | None = None,
    graded_distance_path: str | Path | None = None,
    heldout_datasets: Collection[str],
    seed: int,
    max_pairs: int = MAX_PAIRS,
) -> None:
    """Write the interactive atlas of a run; without tables of transfer it only names tasks."""
    content = gather(
        embedding_paths,
        prediction_paths,
        pair_paths,
        image_paths,
        task_distances_path,
        functional_distance_path=functional_distance_path,
        graded_distance_path=graded_distance_path,
        heldout_datasets=heldout_datasets,
        seed=seed,
        max_pairs=max_pairs,
    )
    with atomic_write(out) as part:
        part.write_text(render(content, run), encoding="utf-8")


def render(content: Content, run: str) -> str:
    """The page."""
    style, code = STYLE.read_text(encoding="utf-8"), script()
    sheets = "\n".join(
        f'<script type="text/plain" id="sheet-{k}">{data}</script>'
        for k, data in enumerate(content.sheets.data)
    )
    # One pass over the template: text of the data is never looked at for names to replace.
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        policy=policy(style, code),
        style=style,
        script=code,
        run=escape(run),
        summary=_summary(content),
        limits=_limits(content),
        datasets=_datasets(content.datasets),
        payload=script_json(content.payload),
        sheets=sheets,
    )


def policy(style: str, code: str) -> str:
    """Content security policy: this style, this script, embedded pictures, and nothing else."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; script-src 'sha256-{digest(code)}'; "
        f"style-src 'sha256-{digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _summary(content: Content) -> str:
    """What one sees, for somebody who has never heard of it."""
    values = {d["name"]: len(d["values"]) for d in content.payload["dimensions"]}
    shown = (
        f"all {content.n_shown:,} pairs"
        if content.n_shown == content.n_heldout
        else f"{content.n_shown:,} of the {content.n_heldout:,} pairs"
    )
    near = "Dots lie close together"
    if content.payload["alike"]:
        near = "Named apart, dots lie close together"
    return (
        "A vision task is shown here by a pair of images: what goes in and what should come out. "
        f"Every dot is one such pair, {shown} that training never saw "
        f"({values['task']} tasks, {values['dataset']} datasets, {values['modality']} modalities). "
        f"{near} where the chosen encoder takes two pairs for the same kind of task, whatever the "
        "images show."
    )


def _limits(content: Content) -> str:
    """How the picture was made, and what must not be read off it."""
    placed = (
        f"Projection: {PROJECTION}, of each encoder's first seed."
        if content.n_shown >= FEWEST
        else f"With fewer than {FEWEST} pairs there is no projection: dots lie on a circle, and "
        "their places mean nothing."
    )
    points = [
        placed
        + " A projection is a picture, not a number: the size of a heap, the gap between two "
        "heaps and their places mean little. Two maps must not be compared by eye for quality. "
        "Numbers with their intervals are in the run's tables and report.",
        f"{content.n_shown:,} of {content.n_heldout:,} held-out pairs are shown, the same ones for "
        "every encoder: chosen by the run's seed so that every combination of task and dataset has "
        "as many as any other, as far as it reaches. So shares counted on the map are those of a "
        "sample.",
        "Named by: majority of the nearest training pairs by cosine in the whole space, not in the "
        "plane. For held-out tasks only the family can be named right.",
        "Distances of the heatmap are measured in the whole space, over all seeds and all held-out "
        "pairs; square brackets hold 95 % intervals where there are enough groups for one.",
        *(
            [
                "What works alike has a direction: rows are sources, columns targets, and a number "
                "is the log of the source's error over the target's own on test pairs of the "
                "target, before any training on the two. Trees and maps take the mean of both "
                "directions. On the map of `linear maps` tasks are placed by classical scaling of "
                "roots of these numbers, and pairs strewn around their task: within a disc places "
                "mean nothing."
            ]
            if content.payload["alike"]
            else []
        ),
        f"Pictures are at most {TILE} pixels a side ({content.sheets.quality}).",
    ]
    return "".join(f"<li>{escape(point)}</li>" for point in points)


def _datasets(facts: list[dict[str, Any]]) -> str:
    """Where the pictures come from, and under which licence."""
    heads = ["dataset", "title", "modality", "pairs shown", "held out", "licence", "source"]
    cells = [
        [
            escape(str(row["dataset"])),
            escape(str(row.get("title") or "")),
            escape(modality_name(str(row["modality"]))),
            f"{row['shown']:,}",
            "yes" if row["heldout"] else "",
            escape(str(row["licence"])),
            escape(str(row.get("citation") or "")),
        ]
        for row in facts
    ]
    return html_table(heads, cells, numbers={3})
