"""Findings: functions of the tables that yield rows of `summary`, each with its sentence.

What is said of an encoder that learned has to hold against encoders that did not: a finding is
supported where the paired interval of its statistic lies above that of every baseline, else it is
no more than above chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from medtaskatlas.atlas.counts import of_subjects
from medtaskatlas.atlas.inference import MIN_SUBJECTS
from medtaskatlas.atlas.trajectories.tracks import RAW_PIXELS

Tables = Mapping[str, pd.DataFrame]
Row = Mapping[Any, Any]
Rows = Iterator[dict[str, Any]]
WHERE = {
    "groups": "On subjects never seen in training",
    "regions": "On slices and regions never seen in training, of subjects that were",
    "datasets": "On whole datasets never seen in training",
    "tasks": "For tasks never seen in training",
}
NUMBERS = ("estimate", "seed_sd", "ci_low", "ci_high", "ci_method")
COUNTS = ("n_pairs", "n_images", "n_groups", "n_subjects", "n_datasets")
TEST = ("p", "p_adjusted", "p_family")
ALPHA = 0.05
STEADY = 0.9
# What may become of a finding.
VERDICTS = SUPPORTED, ABOVE_CHANCE, NOT_SUPPORTED = "supported", "above chance", "not supported"
# The paper names brightness, rotation and noise. Noise is done by noise_addition, which no encoder
# is trained on, and undone by denoising_gaussian; see docs/decisions.md.
CHANGES = ("brightness", "rotation", "noise_addition", "denoising_gaussian")
# By whether training asked for steadiness, and whether it saw the task.
HOW_TRAINED = {
    (True, True): "Training asked for this, on images of its own. ",
    (True, False): "Training asked for this of other tasks, and never saw this one. ",
    (False, True): "",
    (False, False): "Training never saw this task. ",
}


def named(tables: Tables) -> Rows:
    """How often the nearest neighbours name the task, and the family."""
    frame = _of_models(tables, "identification")
    chosen = frame[
        (frame["method"] == "knn")
        & (frame["level"] == "overall")
        & (frame["task_subset"] == "all")
        & frame["seed"].isna()
        & frame["estimate"].notna()
    ]
    named_by = {
        "balanced_accuracy": ("task", "the task that turns the input of a pair into its output"),
        "family_balanced_accuracy": (
            "family",
            "the family of the task (semantic, generative or transformation)",
        ),
    }
    for measure, (what, words) in named_by.items():
        for row in chosen[chosen["measure"] == measure].to_dict("records"):
            chance = ""
            if _known(row["chance"]):
                chance = f"; the same answers dealt out at random reach {100 * row['chance']:.0f} %"
            gains = _rows_of(tables["comparisons"], row, contrast="best_baseline", measure=measure)
            yield _finding(
                f"{what}_named",
                row,
                f"{words} is named right in {_percent(row)} of cases by the nearest training pairs "
                f"in the space of {row['encoder']}{chance}.",
                _known(row["chance"]) and _above(row, row["chance"]),
                gains=gains,
                control="mismatched_outputs",
            )


def beats_baseline(tables: Tables) -> Rows:
    """Whether learning from tasks is worth it: models next to the best baselines."""
    frame = _of_models(tables, "comparisons")
    frame = frame[(frame["measure"] == "balanced_accuracy") & frame["estimate"].notna()]
    against = {
        "best_baseline": ("best_baseline", "the best baseline, {other}"),
        "best_probe": (
            "best_supervised_baseline",
            "the best baseline when that may learn from the training labels too ({other}, {how})",
        ),
    }
    for contrast, (finding, words) in against.items():
        for row in frame[frame["contrast"] == contrast].to_dict("records"):
            other = words.format(other=row["other"], how=row["other_method"])
            more, shown = "more", dict(row)
            if row["estimate"] < 0:
                more = "less"
                low, high = -row["ci_high"], -row["ci_low"]
                shown |= {"estimate": -row["estimate"], "ci_low": low, "ci_high": high}
            test = f", adjusted p = {row['p_adjusted']:.3g}" if _known(row["p_adjusted"]) else ""
            yield _finding(
                f"beats_{finding}",
                row,
                f"{row['encoder']} names the task right {_percent(shown, ' percentage points')} "
                f"{more} often than {other}{test}.",
                _above(row, 0),
                control="mismatched_outputs",
                copied=TEST,
            )


def task_over_dataset(tables: Tables) -> Rows:
    """Whether tasks or datasets arrange the space."""
    frame = _of_models(tables, "separation")
    difference = frame[frame["measure"] == "silhouette_difference"]
    for row in difference[difference["estimate"].notna()].to_dict("records"):
        crossed = frame[
            (frame["within"] == "crossed")
            & (frame["encoder"] == row["encoder"])
            & (frame["split"] == row["split"])
        ]
        share = crossed[crossed["measure"] == "omega_squared"].set_index("factor")["estimate"]
        variance = ""
        if {"task", "dataset"} <= set(share.index):
            variance = (
                f" Of the variance, {100 * share['task']:.0f} % goes with the task and "
                f"{100 * share['dataset']:.0f} % with the dataset"
            )
            apart = crossed[crossed["measure"] == "omega_squared_difference"]
            variance += f" (difference: {_interval(apart.iloc[0])})." if len(apart) else "."
        sign = "more" if row["estimate"] > 0 else "less"
        yield _finding(
            "task_over_dataset",
            row,
            f"pairs in the space of {row['encoder']} gather {sign} by task than by dataset: the "
            f"silhouette by task minus that by dataset is {row['estimate']:.2f} "
            f"({_interval(row)}).{variance}",
            _above(row, 0),
            gains=_rows_of(frame, row, measure="omega_squared_gain", within="crossed"),
            control="duplicated_task",
        )


def families(tables: Tables) -> Rows:
    """Whether the families that we assign appear by themselves, more clearly than untrained."""
    clusters = tables["clusters"]
    frame = clusters[
        (clusters["measure"] == "ami")
        & (clusters["metric"] == "centroid_cosine")
        & clusters["estimate"].notna()
    ]
    for row in frame[frame["encoder"].isin(_models(tables))].to_dict("records"):
        tested = _known(row["p_adjusted"])
        fits = tested and row["p_adjusted"] < ALPHA
        test = f"; adjusted p = {row['p_adjusted']:.3g}" if tested else "; not tested"
        words = "agree with" if fits else "do not agree, beyond chance, with"
        yield _finding(
            "families_recovered",
            row,
            f"the distances between tasks in the space of {row['encoder']}, cut into "
            f"{row['n_clusters']} clusters, {words} the families that we assign (adjusted mutual "
            f"information {row['estimate']:.2f}, where 0 is chance and 1 is the same{test}; "
            "a statistic of one clustering, without an interval).",
            fits,
            gains=_rows_of(clusters, row, measure="ami_gain"),
            control="duplicated_task",
            copied=TEST,
            cautious=False,
        )


def nearest_tasks(tables: Tables) -> Rows:
    """The two tasks that are most alike."""
    frame = tables["task_distances"]
    frame = frame[(frame["metric"] == "centroid_cosine") & frame["estimate"].notna()]
    nearest = frame.sort_values("estimate", kind="stable").drop_duplicates(["encoder", "split"])
    baselines = nearest[nearest["encoder"].isin(_names(tables, "baseline"))]
    chosen = frame[frame["encoder"].isin(_models(tables))]
    for (encoder, split), rows in chosen.groupby(["encoder", "split"]):
        row = rows.sort_values("estimate", kind="stable").iloc[0].to_dict()
        also = baselines[
            (baselines["split"] == split)
            & (baselines["task_a"] == row["task_a"])
            & (baselines["task_b"] == row["task_b"])
        ]["encoder"]
        told = f" So they are by {', '.join(also)}, without training." if len(also) else ""
        typical = rows["estimate"].median()
        # Held-out tasks are compared with tasks of the gallery too, and those not in turn.
        which = ", one of them at least held out," if split == "tasks" else ","
        yield _finding(
            "most_alike_tasks",
            row,
            f"the two tasks most alike in the space of {encoder} are {row['task_a']} and "
            f"{row['task_b']}{which} at a cosine distance of {row['estimate']:.2f} "
            f"({_interval(row)}; the median of all {len(rows)} pairs of tasks is {typical:.2f}); "
            f"they were picked as the closest, so the interval leans low.{told}",
            _known(row["ci_high"]) and row["ci_high"] < typical,
            # No encoder that knows no task must say the same.
            gains=None if also.empty else [],
            control="duplicated_task",
        )


def unseen_tasks(tables: Tables) -> Rows:
    """Whether tasks that training never saw fall among their own family."""
    if "unseen_tasks" not in tables:
        return
    frame = tables["unseen_tasks"]
    overall = frame[(frame["level"] == "overall") & (frame["role"] == "model")]
    shares = overall[overall["measure"] == "family_accuracy"].set_index(["encoder", "split"])
    differences = frame[
        (frame["level"] == "difference") & frame["other"].isin(_names(tables, "baseline"))
    ]
    placed = overall[(overall["measure"] == "tasks_placed") & overall["estimate"].notna()]
    for row in placed.to_dict("records"):
        tested = _known(row["p_adjusted"])
        test = ""
        if tested:
            test = (
                f"; {row['reference']:.1f} would if families were dealt out at random, "
                f"adjusted p = {row['p_adjusted']:.2g}"
            )
        share = shares.loc[(row["encoder"], row["split"])].to_dict()
        yield _finding(
            "unseen_tasks_placed",
            row,
            f"{row['estimate']:.0f} of {row['n_tasks']} tasks, each kept out of a training of "
            f"{row['encoder']}, fall among training pairs of their own family{test} (a count over "
            "a fixed set of tasks, without an interval). Their family is named right in "
            f"{_percent(share)} of cases.",
            tested and row["p_adjusted"] < ALPHA,
            gains=_rows_of(differences, row),
            copied=TEST,
            cautious=False,
        )


def trajectories(tables: Tables) -> Rows:
    """Whether an embedding moves steadily and straight while a task is done more and more."""
    if "trajectories" not in tables:
        return
    frame = tables["trajectories"]
    frame = frame[(frame["scope"] == "task") & frame["seed"].isna() & frame["task"].isin(CHANGES)]
    frame = frame[frame["encoder"].isin(_models(tables))]
    wide = frame[frame["other"].isna()]
    against = frame[frame["other"].isin([*_names(tables, "baseline"), RAW_PIXELS])]
    lower = wide[wide["measure"] == "spearman_p10"].set_index(["encoder", "split", "task"])
    for row in wide[(wide["measure"] == "spearman") & wide["estimate"].notna()].to_dict("records"):
        tenth = lower["estimate"].get((row["encoder"], row["split"], row["task"]))
        says = f"; a tenth of the images lie below {tenth:.2f}" if pd.notna(tenth) else ""
        trained = HOW_TRAINED[bool(row["asked_for"]), bool(row["task_trained"])]
        yield _finding(
            f"steady_{row['task']}",
            row,
            f"the stronger {row['task']} is done to an image, the farther its pair moves in the "
            f"space of {row['encoder']}: the rank correlation of severity and displacement is "
            f"{row['estimate']:.2f} in the median image ({_interval(row)}{says}). {trained}",
            _above(row, STEADY),
            gains=_rows_of(against, row, measure="spearman_difference", task=row["task"]),
        )
    paths = wide[(wide["measure"] == "path_over_chord") & wide["estimate"].notna()]
    for row in paths.to_dict("records"):
        differences = _rows_of(against, row, measure="path_over_chord_difference", task=row["task"])
        yield _finding(
            f"straight_{row['task']}",
            row,
            f"while {row['task']} is done ever more strongly to an image, its pair takes a path in "
            f"the space of {row['encoder']} that is {row['estimate']:.2f} times as long as the "
            f"straight line between its ends, in the median image ({_interval(row)}).",
            _known(row["ci_high"]),
            gains=[_turned(one) for one in differences],
            otherwise=NOT_SUPPORTED,
        )


def failures(tables: Tables) -> Rows:
    """Whether wrong ways of doing a task lie far from right ways."""
    if "failures" not in tables:
        return
    whole = _of_models(tables, "failures")
    whole = whole[(whole["failure_kind"] == "all") & (whole["measure"] == "separation_auc_gain")]
    frame = _of_models(tables, "failures")
    frame = frame[frame["seed"].isna() & (frame["task"] == "all") & frame["estimate"].notna()]
    each = frame[frame["measure"] == "separation_auc"]
    for row in each[each["failure_kind"] == "all"].to_dict("records"):
        kinds = each[
            (each["encoder"] == row["encoder"])
            & (each["split"] == row["split"])
            & (each["failure_kind"] != "all")
        ].sort_values("estimate", kind="stable")
        told = ""
        if len(kinds):
            kind, auc = kinds.iloc[0][["failure_kind", "estimate"]]
            told = f" Hardest to tell: {kind} ({100 * auc:.0f} %)."
        yield _finding(
            "failures_apart",
            row,
            "a right pair lies nearer to the right pairs of its task than a failure of it does in "
            f"{_percent(row)} of comparisons in the space of {row['encoder']}, where chance is "
            f"50 %.{told}",
            _above(row, 0.5),
            gains=_rows_of(whole, row),
        )


def scaling(tables: Tables) -> Rows:
    """Gain of more data."""
    if "scaling" not in tables:
        return
    frame = _of_models(tables, "scaling")
    chosen = frame[(frame["measure"] == "gain_per_doubling") & frame["estimate"].notna()]
    words = {"pairs": "training pairs", "datasets": "training datasets"}
    for row in chosen.to_dict("records"):
        yield _finding(
            f"more_{row['axis']}",
            row,
            f"with {row['steps']} steps each, every doubling of the {words[row['axis']]} changed "
            f"how often {row['encoder']} names the task right by "
            f"{_percent(row, ' percentage points')}.",
            _above(row, 0),
        )


def shortcuts(tables: Tables) -> Rows:
    """Whether probes tell tasks by debris."""
    if "shortcuts" not in tables:
        return
    for split, rows in tables["shortcuts"].groupby("split", sort=False):
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
        row = {name: n[name] for name in COUNTS} | {
            "encoder": "probe",
            "split": split,
            "estimate": len(found) / len(judged),
            "note": "a share of verdicts, so there is no interval",
        }
        yield _finding(
            "no_shortcuts",
            row,
            "probes that see only the border, the histogram, one side or the fine residue of a "
            f"pair name, of {len(judged)} (task, view) combinations, {words}.{failed}",
            found.empty and passed,
            cautious=False,
        )


# In the order of the report.
FINDINGS: tuple[Callable[[Tables], Rows], ...] = (
    named,
    beats_baseline,
    task_over_dataset,
    families,
    nearest_tasks,
    unseen_tasks,
    trajectories,
    failures,
    scaling,
    shortcuts,
)


def _finding(
    name: str,
    row: Row,
    sentence: str,
    speaks: Any,
    *,
    gains: list[Row] | None = None,
    otherwise: str = ABOVE_CHANCE,
    control: str | None = None,
    copied: tuple[str, ...] = (),
    cautious: bool = True,
) -> dict[str, Any]:
    """Row of `summary`: the sentence with where it holds, what it rests on and a caution.

    ``speaks`` is whether interval or test speak for it, ``gains`` are paired differences of its
    statistic to that of every baseline, higher being better (None: it is not about learning);
    ``otherwise`` is the verdict where they do not hold.
    """
    verdict, told = SUPPORTED if speaks else NOT_SUPPORTED, ""
    if gains:
        least = min(gains, key=lambda one: one["ci_low"] if _known(one["ci_low"]) else -math.inf)
        told = f" Gain over {least['other']}: {least['estimate']:.2f} ({_interval(least)})."
    if speaks and gains is not None and not (gains and all(_above(one, 0) for one in gains)):
        verdict = otherwise
    rests_on = f"{WHERE[row['split']]}, {sentence.rstrip()}{told} {_rests_on(row)}."
    columns = (*NUMBERS, *COUNTS, "note", *copied)
    return {
        "finding": name,
        "encoder": row["encoder"],
        "split": row["split"],
        "sentence": rests_on + (_caution(row) if cautious else ""),
        "verdict": verdict,
        "control": control,
        **{column: row[column] for column in columns if column in row},
    }


def _rows_of(frame: pd.DataFrame, row: Row, **where: str) -> list[Row]:
    """Rows of a table of the encoder and split of another row, with a number."""
    where |= {"encoder": row["encoder"], "split": row["split"]}
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return [*frame[frame["estimate"].notna()].to_dict("records")]


def _turned(row: Row) -> Row:
    """A difference of which less is better."""
    ends = {"ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return {**row, "estimate": -row["estimate"], **ends}


def _names(tables: Tables, role: str) -> list[str]:
    """Encoders of a role, sorted."""
    frame = tables["identification"]
    return sorted(set(frame[frame["role"] == role]["encoder"]))


def _models(tables: Tables) -> list[str]:
    """Encoders that learned from tasks and are neither controls nor ablations, sorted."""
    return _names(tables, "model")


def _of_models(tables: Tables, name: str) -> pd.DataFrame:
    """Rows of a table that are about models."""
    frame = tables[name]
    return frame[frame["encoder"].isin(_models(tables))]


def _known(value: Any) -> bool:
    return not pd.isna(value)


def _above(row: Row, reference: float) -> bool:
    """Whether the interval lies above a reference."""
    return _known(row["ci_low"]) and row["ci_low"] > reference


def _percent(row: Row, unit: str = " %") -> str:
    """Estimate and interval in percent."""
    text = f"{100 * row['estimate']:.0f}{unit}"
    if not _known(row["ci_low"]):
        return f"{text} (no interval)"
    return f"{text} (95 % interval {100 * row['ci_low']:.0f} to {100 * row['ci_high']:.0f})"


def _interval(row: Row) -> str:
    """Interval of a number that is no share."""
    if not _known(row["ci_low"]):
        return "no interval"
    return f"95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f}"


def _rests_on(row: Row) -> str:
    """Counts in words."""
    words = ("pair", "image", "independent group", "subject", "dataset")
    pairs, images, groups, _, sets = (
        f"{row[column]:,} {word}{'' if row[column] == 1 else 's'}"
        for column, word in zip(COUNTS, words, strict=True)
    )
    subjects = of_subjects(row)
    return f"n = {pairs} from {images} in {groups}{subjects} {'in' if subjects else 'of'} {sets}"


def _caution(row: Row) -> str:
    """Note of a row as a caution; too few subjects are told by its control instead."""
    return (
        f" Caution: {row['note']}."
        if _known(row["note"]) and row["n_subjects"] >= MIN_SUBJECTS
        else ""
    )
