"""The findings of a run as one HTML page that a newcomer can read, without a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings import VERDICTS
from medtaskatlas.core.files import atomic_write
from medtaskatlas.figures.frames import (
    WHERE,
    counts_of,
    html_table,
    interval,
    modality_name,
    number,
    plain,
    read_frame,
    splits_of,
)
from medtaskatlas.figures.identification import METHODS, overall

ANNOTATION = {
    "ground_truth": "ground truth",
    "derived": "derived, not ground truth",
    "none": "none",
}
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
ol { padding-left: 1.4rem; } li { margin: .8rem 0; }
.n { color: #555; font-size: .9rem; display: block; }
.tag { border-radius: .6rem; padding: .05rem .5rem; font-size: .85rem; white-space: nowrap; }
.yes { background: #d6efe6; color: #00543d; } .no { background: #f7dfd0; color: #7a3500; }
.open { background: #e8e8e8; color: #333; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #ddd;
  vertical-align: top; } th { background: #f4f4f4; } td.number { text-align: right; }
"""


def findings(
    html: str | Path,
    *,
    parts: Collection[str],
    summary: str | Path,
    datasets: str | Path,
    tasks: str | Path,
    controls: str | Path | None = None,
    identification: str | Path | None = None,
) -> None:
    """Write the findings, their controls, the datasets and the key numbers as one page.

    ``parts`` of the run are atlas, multitask and medformer; the last two tables are the atlas's.
    """
    found, images = read_frame(summary), read_frame(datasets)
    run = escape(str(images["run"].iloc[0]))
    title = f"What {'the atlas of tasks' if 'atlas' in parts else 'the run'} shows (run {run})"
    page = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{CSS}</style></head><body>",
        f"<h1>{title}</h1>",
        _introduction(parts, read_frame(tasks), images),
        "<h2>Findings</h2>",
        _findings(found),
    ]
    if controls is not None:
        page += [
            "<h2>Controls</h2>",
            "<p>Checks that would fail if the measurement were wrong. A finding that depends on a "
            "control counts as supported only if that control passed.</p>",
            _controls(read_frame(controls)),
        ]
    if identification is not None:
        page += [
            "<h2>How well each encoder names the task</h2>",
            "<p>Share of pairs never seen in training whose task is named right; every combination "
            "of dataset and task counts alike (balanced accuracy). Intervals of 95&nbsp;%.</p>",
            _identification(read_frame(identification)),
        ]
    page += [
        "<h2>Datasets</h2>",
        "<p>A group is what must not be split between training and measuring: a patient, a "
        "volume, a recording, or a region of one large image. Annotation that is "
        "<em>derived</em> was computed from the image by a classical method; it is not ground "
        "truth.</p>",
        _datasets(images),
        "</body></html>\n",
    ]
    with atomic_write(html) as part:
        part.write_text("\n".join(page), encoding="utf-8")


def _introduction(parts: Collection[str], tasks: pd.DataFrame, datasets: pd.DataFrame) -> str:
    """What this is, for somebody who has never heard of it."""
    on = f"{len(datasets)} datasets of {datasets['modality'].nunique()} imaging modalities"
    of = {
        "atlas": _of_atlas(tasks, datasets),
        "multitask": "Multi-task systems learn several targets of an image at once, such as its "
        "label and a mask; they are compared with networks of one target each.",
        "medformer": f"Medformer is one transformer for the pictures and volumes of {on}. Its arms "
        "are ways to learn them, with and without pre-training, one model a set or one for all, "
        "compared with each other and with small networks on the same test images.",
    }
    said = [text for part, text in of.items() if part in parts]
    said.append(
        "A finding is called supported if its interval or test speaks for it, its control passed, "
        "and, where it is about learning, it holds against every encoder that did not learn: the "
        "paired interval of the difference lies above 0. Otherwise it is no more than above chance."
    )
    return "\n".join(f"<p>{text}</p>" for text in said)


def _of_atlas(tasks: pd.DataFrame, datasets: pd.DataFrame) -> str:
    """What the atlas is."""
    heldout = datasets[datasets["heldout"].astype(bool)]["dataset"]
    kept = ", ".join(escape(plain(str(name))) for name in heldout) or "none"
    return (
        "A vision task can be shown by a pair of images: what goes in and what should come "
        "out, for example a noisy slice and the clean one, or a slice and its segmentation. This "
        f"atlas makes such pairs for {len(tasks)} tasks in {tasks['family'].nunique()} families "
        f"on {len(datasets)} datasets of {datasets['modality'].nunique()} imaging modalities. An "
        "encoder learns to lay pairs of the same task close together, whatever the image shows. "
        "The atlas then asks, on images it has never seen, which tasks are alike, which are "
        "distinct, and how much of the arrangement is due to the task and how much to the "
        f"dataset. Datasets kept out of training altogether: {kept}."
    )


def _findings(rows: pd.DataFrame) -> str:
    """The sentences, each with its number; a list a query set, supported ones first."""
    parts = []
    for split in splits_of(rows["split"]):
        here = rows[rows["split"] == split]
        here = here.sort_values("verdict", key=lambda v: v.map(VERDICTS.index), kind="stable")
        items = "\n".join(_finding(row) for row in here.to_dict("records"))
        parts.append(f"<h3>On {WHERE[split]}</h3>\n<ol>{items}</ol>")
    return "\n".join(parts) or "<p>This run has no findings.</p>"


def _finding(row: Mapping[Any, Any]) -> str:
    """One sentence with its verdict, and below it what it rests on."""
    sentence = str(row["sentence"])
    facts = [f"estimate {interval(row)}"]
    if pd.notna(row["p_adjusted"]):
        p = row["p_adjusted"]
        facts.append(f"adjusted p {'&lt; 0.001' if p < 0.001 else f'= {p:.3f}'}")
    if pd.notna(row["control"]):
        passed = row["control_passed"]
        word = "not run" if pd.isna(passed) else "passed" if passed else "failed"
        facts.append(f"control {escape(plain(str(row['control'])))}: {word}")
    if "n = " not in sentence:
        facts.append(f"n = {counts_of(row)}")
    if pd.notna(row["note"]) and str(row["note"]) not in sentence:
        facts.append(escape(str(row["note"])))
    kind = {"supported": "yes", "above chance": "open"}.get(row["verdict"], "no")
    verdict = f'<span class="tag {kind}">{escape(str(row["verdict"]))}</span>'
    return f'<li>{verdict} {escape(sentence)}<span class="n">{"; ".join(facts)}</span></li>'


def _tag(value: Any, yes: str, no: str) -> str:
    """A coloured word for true, false or not known."""
    if pd.isna(value):
        return '<span class="tag open">not run</span>'
    return f'<span class="tag {"yes" if value else "no"}">{yes if value else no}</span>'


def _controls(rows: pd.DataFrame) -> str:
    """Every control with what was expected and what came out."""
    cells = [
        [
            escape(plain(str(row["control"]))),
            escape(str(row["encoder"])),
            escape(WHERE.get(row["split"], "") if pd.notna(row["split"]) else ""),
            escape(str(row["expectation"])),
            interval(row),
            number(row["reference"]),
            _tag(row["passed"], "passed", "failed"),
            escape(str(row["note"])) if pd.notna(row["note"]) else "",
        ]
        for row in rows.to_dict("records")
    ]
    heads = ["control", "encoder", "on", "expected", "found", "reference", "", "note"]
    return html_table(heads, cells)


def _identification(rows: pd.DataFrame) -> str:
    """Balanced accuracy of tasks, all encoders and methods, on each query set."""
    rows = overall(rows)
    rows = rows[rows["measure"] == "balanced_accuracy"]
    counted = ("pairs", "groups", "subjects", "datasets")
    cells = [
        [
            escape(str(row["encoder"])),
            escape(METHODS[row["method"]][1]),
            escape(WHERE[row["split"]]),
            interval(row),
            number(row["chance"]),
            *(f"{int(row[f'n_{what}']):,}" for what in counted),
        ]
        for row in rows.sort_values(
            ["split", "estimate"], ascending=[False, False], kind="stable"
        ).to_dict("records")
    ]
    heads = ["encoder", "method", "on", "named right", "chance", *counted]
    return html_table(heads, cells, numbers={5, 6, 7, 8})


def _datasets(rows: pd.DataFrame) -> str:
    """Where the images come from."""
    cells = []
    for row in rows.sort_values(["modality", "dataset"]).to_dict("records"):
        annotation = escape(ANNOTATION.get(row["annotation"], str(row["annotation"])))
        if pd.notna(row["annotation_note"]) and row["annotation_note"]:
            annotation += f'<span class="n">{escape(str(row["annotation_note"]))}</span>'
        title = row["title"] if pd.notna(row["title"]) else ""
        cells.append(
            [
                f'{escape(row["dataset"])}<span class="n">{escape(str(title))}</span>',
                escape(modality_name(str(row["modality"]))),
                annotation,
                f"{int(row['n_images']):,}",
                f"{int(row['n_groups']):,}",
                f"{int(row['n_subjects']):,}",
                "yes" if row["heldout"] else "",
                escape(str(row["licence"])),
            ]
        )
    heads = ["dataset", "modality", "annotation", "images", "groups", "subjects", "held out"]
    return html_table([*heads, "licence"], cells, numbers={3, 4, 5})
