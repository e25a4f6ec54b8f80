"""The table `summary`: the findings in sentences, each with its number and its control.

A finding is a function of the tables that yields rows. It is supported only where its interval or
test speaks for it and the control it depends on has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.embeddings import BASELINE_KINDS
from medtaskatlas.atlas.inference import MIN_GROUPS
from medtaskatlas.atlas.tables import read_table, write_table

Tables = Mapping[str, pd.DataFrame]
Rows = Iterator[dict[str, Any]]
WHERE = {
    "groups": "On patients, volumes and regions never seen in training",
    "datasets": "On whole datasets never seen in training",
    "tasks": "For tasks never seen in training",
}
NUMBERS = ("estimate", "seed_sd", "ci_low", "ci_high", "ci_method")
COUNTS = ("n_pairs", "n_images", "n_groups", "n_datasets")
NEEDED = ("identification", "comparisons", "separation", "task_distances", "clusters", "controls")
# Read where they are given.
OPTIONAL = ("shortcuts",)
ALPHA = 0.05


def summary(table_paths: Mapping[str, str | Path], out: str | Path, *, run: str) -> None:
    """Write the table `summary`.

    Parameters
    ----------
    table_paths
        Name to path of the tables in :data:`NEEDED` and, if there, in :data:`OPTIONAL`.
    out
        results/<run>/tables/summary.parquet.
    run
        Name of the run.
    """
    names = [*NEEDED, *(name for name in OPTIONAL if name in table_paths)]
    tables = {name: read_table(table_paths[name], name, run=run) for name in names}
    rows = []
    for finding in FINDINGS:
        for row in finding(tables):
            rows.append({"run": run, **_with_control(row, tables["controls"])})
    write_table("summary", rows, out, {"run": run})


def _with_control(row: dict[str, Any], controls: pd.DataFrame) -> dict[str, Any]:
    """Withdraw a finding that rests on too little, or whose control did not pass."""
    if row["n_groups"] < MIN_GROUPS:
        row["supported"] = False
        row["sentence"] += f" Not supported: fewer than {MIN_GROUPS} independent groups."
    control = row.get("control")
    if control is None:
        return row
    chosen = controls[
        (controls["control"] == control)
        & (controls["encoder"] == row["encoder"])
        & (controls["split"] == row["split"])
    ]["passed"]
    passed = None if chosen.empty or chosen.isna().all() else bool(chosen.fillna(True).all())
    row = row | {"control_passed": passed}
    if not passed:
        why = "failed" if passed is False else "could not be run"
        row["supported"] = False
        row["sentence"] += f" Not supported: its control ({control}) {why}."
    return row


def _copied(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Numbers, counts and note of a row of another table."""
    return {name: row[name] for name in (*NUMBERS, *COUNTS, "note") if name in row}


def _known(value: Any) -> bool:
    return not pd.isna(value)


def _percent(row: Mapping[Any, Any], unit: str = " %") -> str:
    """Estimate and interval in percent."""
    text = f"{100 * row['estimate']:.0f}{unit}"
    if _known(row["ci_low"]):
        text += f" (95 % interval {100 * row['ci_low']:.0f} to {100 * row['ci_high']:.0f})"
    else:
        text += " (no interval)"
    return text


def _interval(row: Mapping[Any, Any]) -> str:
    """Interval of a number that is no share."""
    if not _known(row["ci_low"]):
        return "no interval"
    return f"95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f}"


def _n(row: Mapping[Any, Any]) -> str:
    """What a number rests on."""
    named = zip(COUNTS, ("pair", "image", "independent group", "dataset"), strict=True)
    pairs, images, groups, sets = (
        f"{row[column]:,} {word}{'' if row[column] == 1 else 's'}" for column, word in named
    )
    return f"n = {pairs} from {images} in {groups} of {sets}"


def _caution(row: Mapping[Any, Any]) -> str:
    # Too few groups are told at the end of the sentence, by _with_control.
    told = row["n_groups"] < MIN_GROUPS
    return f" Caution: {row['note']}." if _known(row["note"]) and not told else ""


def _trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of encoders that learned from our tasks; the others are baselines."""
    return frame[~frame["kind"].isin(list(BASELINE_KINDS))]


def _named(tables: Tables) -> Rows:
    """How often the nearest neighbours name the task, and the family."""
    frame = _trained(tables["identification"])
    chosen = frame[
        (frame["method"] == "knn")
        & (frame["level"] == "overall")
        & (frame["task_subset"] == "all")
        & frame["seed"].isna()
    ]
    asked = {
        "balanced_accuracy": ("task", "the task that turns the input of a pair into its output"),
        "family_balanced_accuracy": (
            "family",
            "the family of the task (semantic, generative or transformation)",
        ),
    }
    for measure, (what, words) in asked.items():
        for row in chosen[chosen["measure"] == measure].to_dict("records"):
            chance = ""
            if _known(row["chance"]):
                chance = f"; the same answers dealt out at random reach {100 * row['chance']:.0f} %"
            yield {
                "finding": f"{what}_named",
                "encoder": row["encoder"],
                "split": row["split"],
                "sentence": f"{WHERE[row['split']]}, {words} is named right in "
                f"{_percent(row)} of cases by the nearest training pairs in the "
                f"space of {row['encoder']}{chance}. {_n(row)}.{_caution(row)}",
                "supported": bool(
                    _known(row["ci_low"])
                    and _known(row["chance"])
                    and row["ci_low"] > row["chance"]
                ),
                # Held-out tasks have no shuffled gallery of their own: their own row is untested.
                "control": "shuffled_gallery",
                **_copied(row),
            }


def _beats_baseline(tables: Tables) -> Rows:
    """Whether learning from tasks is worth it."""
    frame = tables["comparisons"]
    frame = frame[frame["measure"] == "balanced_accuracy"]
    against = {
        "best_baseline": ("best_baseline", "the best baseline, {other}"),
        "best_probe": (
            "best_supervised_baseline",
            "the best baseline when that may learn from the training labels too ({other}, {how})",
        ),
    }
    for contrast, (finding, words) in against.items():
        for row in _trained(frame[frame["contrast"] == contrast]).to_dict("records"):
            other = words.format(other=row["other"], how=row["other_method"])
            more = "more" if row["estimate"] >= 0 else "less"
            shown = dict(row)
            if row["estimate"] < 0:
                shown |= {
                    "estimate": -row["estimate"],
                    "ci_low": -row["ci_high"],
                    "ci_high": -row["ci_low"],
                }
            test = f", adjusted p = {row['p_adjusted']:.3g}" if _known(row["p_adjusted"]) else ""
            yield {
                "finding": f"beats_{finding}",
                "encoder": row["encoder"],
                "split": row["split"],
                "sentence": f"{WHERE[row['split']]}, {row['encoder']} names the task right "
                f"{_percent(shown, ' percentage points')} {more} often than {other}{test}. "
                f"{_n(row)}.{_caution(row)}",
                "supported": bool(_known(row["ci_low"]) and row["ci_low"] > 0),
                "control": "shuffled_gallery",
                **_copied(row),
                **{name: row[name] for name in ("p", "p_adjusted", "p_family")},
            }


def _task_over_dataset(tables: Tables) -> Rows:
    """Whether tasks or datasets arrange the space."""
    frame = _trained(tables["separation"])
    difference = frame[frame["measure"] == "silhouette_difference"]
    shares = frame[(frame["measure"] == "omega_squared") & (frame["within"] == "crossed")]
    for row in difference[difference["estimate"].notna()].to_dict("records"):
        same = shares[(shares["encoder"] == row["encoder"]) & (shares["split"] == row["split"])]
        share = same.set_index("factor")["estimate"]
        variance = ""
        if {"task", "dataset"} <= set(share.index):
            variance = (
                f" Of the variance, {100 * share['task']:.0f} % goes with the task and "
                f"{100 * share['dataset']:.0f} % with the dataset."
            )
        sign = "more" if row["estimate"] > 0 else "less"
        interval = _interval(row)
        yield {
            "finding": "task_over_dataset",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, pairs in the space of {row['encoder']} gather "
            f"{sign} by task than by dataset: the silhouette by task minus that by dataset is "
            f"{row['estimate']:.2f} ({interval}).{variance} {_n(row)}.{_caution(row)}",
            "supported": bool(_known(row["ci_low"]) and row["ci_low"] > 0),
            "control": "duplicated_task",
            **_copied(row),
        }


def _families(tables: Tables) -> Rows:
    """Whether the families that we assign appear by themselves."""
    frame, trained = tables["clusters"], set(_trained(tables["identification"])["encoder"])
    chosen = frame[
        (frame["measure"] == "ami")
        & (frame["metric"] == "centroid_cosine")
        & frame["encoder"].isin(list(trained))
        & frame["estimate"].notna()
    ]
    for row in chosen.to_dict("records"):
        fits = row["p_adjusted"] < ALPHA
        words = "agree with" if fits else "do not agree, beyond chance, with"
        yield {
            "finding": "families_recovered",
            "encoder": row["encoder"],
            "split": row["split"],
            "sentence": f"{WHERE[row['split']]}, the distances between tasks in the space of "
            f"{row['encoder']}, cut into {row['n_clusters']} clusters, {words} the families "
            f"that we assign (adjusted mutual information {row['estimate']:.2f}, where 0 is chance "
            f"and 1 is the same; adjusted p = {row['p_adjusted']:.3g}). {_n(row)}.",
            "supported": bool(fits),
            "control": "duplicated_task",
            **_copied(row),
            **{name: row[name] for name in ("p", "p_adjusted", "p_family")},
        }


def _nearest_tasks(tables: Tables) -> Rows:
    """Which two tasks are most alike."""
    frame, trained = tables["task_distances"], set(_trained(tables["identification"])["encoder"])
    chosen = frame[
        (frame["metric"] == "centroid_cosine")
        & frame["encoder"].isin(list(trained))
        & frame["estimate"].notna()
    ]
    for (encoder, split), rows in chosen.groupby(["encoder", "split"]):
        row = rows.sort_values("estimate", kind="stable").iloc[0].to_dict()
        typical = rows["estimate"].median()
        interval = _interval(row)
        yield {
            "finding": "most_alike_tasks",
            "encoder": encoder,
            "split": split,
            "sentence": f"{WHERE[str(split)]}, the two tasks most alike in the space of {encoder} "
            f"are {row['task_a']} and {row['task_b']}, at a cosine distance of "
            f"{row['estimate']:.2f} ({interval}; the median of all {len(rows)} pairs of tasks is "
            f"{typical:.2f}); they were picked as the closest, so the interval leans low. "
            f"{_n(row)}.{_caution(row)}",
            "supported": bool(_known(row["ci_high"]) and row["ci_high"] < typical),
            "control": "duplicated_task",
            **_copied(row),
        }


def _shortcuts(tables: Tables) -> Rows:
    """Whether probes tell tasks by debris."""
    if "shortcuts" not in tables:
        return
    table = tables["shortcuts"]
    for split, rows in table.groupby("split", sort=False):
        shuffled = rows[rows["view"] == "shuffled"]
        views = rows[~rows["view"].isin(["shuffled", "all"])]
        judged = views[(views["level"] == "task") & views["flagged"].notna()]
        if judged.empty:
            continue
        found = judged[judged["flagged"].astype(bool)].sort_values("estimate", ascending=False)
        told = ", ".join(
            f"{row['name']} by {row['view']} ({100 * row['estimate']:.0f} %)"
            for row in found.to_dict("records")
        )
        passed = not shuffled["flagged"].fillna(False).any()
        words = f"more than chance and meaning explain: {told}" if told else "none too often"
        failed = "" if passed else " The control (shuffled labels) failed: do not rely on it."
        n = views[views["level"] == "overall"].iloc[0].to_dict()
        yield {
            "finding": "no_shortcuts",
            "encoder": "probe",
            "split": split,
            "sentence": f"{WHERE[str(split)]}, probes that see only the border, the histogram, "
            f"one side or the fine residue of a pair name, of {len(judged)} (task, view) "
            f"combinations, {words}.{failed} {_n(n)}.",
            "supported": bool(found.empty and passed),
            "estimate": len(found) / len(judged),
            "note": "a share of verdicts, so there is no interval",
            **{name: n[name] for name in COUNTS},
        }


FINDINGS: tuple[Callable[[Tables], Rows], ...] = (
    _named,
    _beats_baseline,
    _task_over_dataset,
    _families,
    _nearest_tasks,
    _shortcuts,
)
