"""Findings of Medformer: rows of `summary`, each with its sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings import TEST, Row, Rows, Tables
from medtaskatlas.atlas.medformer.ablations import turned
from medtaskatlas.atlas.medformer.duplicates import LEFT_OUT
from medtaskatlas.atlas.medformer.gains import Arms
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.atlas.multitask.findings import above, finding
from medtaskatlas.medformer.options import WRONG_LATENTS

RESIDUAL = "resnet18"
INTERVAL = ("estimate", "ci_low", "ci_high")


def findings(tables: Tables, arms: Arms) -> Rows:
    """What is found at the smallest share of the labels and at the largest, of every target."""
    if "medformer_gains" not in tables:
        return
    # Where test images are copies of training images, what is found is found without them.
    gains = without_copies(tables["medformer_gains"], "reference")
    scored = without_copies(tables["medformer_scores"], "seed")
    for target, rows in gains.groupby("target", sort=False):
        # The mean over the sets where there are several, else the one set.
        whole = rows[rows["set"] == (ALL if rows["set"].nunique() > 1 else rows["set"].iloc[0])]
        if whole.empty:
            continue
        chosen = whole[whole["score"] == main_score(list(whole["score"]))]
        named = f"_{target}" if gains["target"].nunique() > 1 else ""
        for labels in sorted({chosen["labels"].min(), chosen["labels"].max()}):
            here = chosen[chosen["labels"] == labels].to_dict("records")
            scores = scored[(scored["target"] == target) & (scored["labels"] == labels)]
            for what, row, sentence in _told(here, scores, arms):
                yield finding(
                    f"medformer_{what}_{labels}_{row['reference']}{named}",
                    row | {"system": row["arm"]},
                    f"with {labels} % of the labels{_where(row)}, {sentence}",
                    above(row, 0),
                    copied=TEST,
                )


def without_copies(rows: pd.DataFrame, *of: str) -> pd.DataFrame:
    """Rows of one or the other of `duplicates`: those without copies where there are any."""
    key = ["set", "arm", "labels", "split", "target", "score", *of]
    return (
        rows.sort_values("duplicates", kind="stable").drop_duplicates(key, keep="last").sort_index()
    )


def main_score(scores: list[str]) -> str:
    """The score that is told and drawn, of those of a target: the area under the curve, if any."""
    return next((name for name in scores if name.endswith("auc")), scores[0])


def _told(
    gains: list[dict[Any, Any]], scores: pd.DataFrame, arms: Arms
) -> Iterator[tuple[str, dict[Any, Any], str]]:
    """Kind of finding, gain and sentence, of gains that are all of one score and share."""
    against_residual = []
    for gain in gains:
        arm, reference = gain["arm"], gain["reference"]
        match gain["differs"]:
            case "matched" if is_pretrained(gain, arms):
                reason = f"{reference} took as many more steps as the pre-training"
                yield "pretraining", gain, f"{_verdict(gain)}; {reason}."
            case "sets":
                row = gain if arms[arm]["sets"] == "all" else turned(gain)
                reason = f"{row['arm']} is one model for all sets, {row['reference']} one a set"
                yield "sharing", row, f"{_verdict(row)}; {reason}."
            case "model" if arms[reference]["model"] == RESIDUAL:
                against_residual.append(gain)
            case option if option == WRONG_LATENTS:
                reason = "the same model, asked with the latents of another set"
                yield "latents", gain, f"{_verdict(gain)}, {reason}."
    if best := _best(against_residual, scores):
        reason = f"{best['arm']} was the best arm on validation images"
        yield "best", best, f"{_verdict(best)}, a small residual network; {reason}."


def is_pretrained(gain: Row, arms: Arms) -> bool:
    """Whether a gain is that of a pre-training against as many more steps."""
    return arms[gain["arm"]]["start"] == arms[gain["reference"]].get("matched")


def _best(gains: list[dict[Any, Any]], scores: pd.DataFrame) -> dict[Any, Any] | None:
    """That of some gains whose arm has the best mean score on validation images."""
    names = [gain["score"] for gain in gains]
    val = scores[(scores["split"] == "val") & scores["seed"].isna() & scores["score"].isin(names)]
    means = val.groupby("arm")["estimate"].mean()
    known = [gain for gain in gains if pd.notna(means.get(gain["arm"]))]
    return max(known, key=lambda gain: means[gain["arm"]], default=None)


def _where(row: Row) -> str:
    """Which sets the number is of."""
    copies = ", without copies of training images" if row["duplicates"] == LEFT_OUT else ""
    return copies + (", on average over the sets" if row["set"] == ALL else f", on {row['set']}")


def _verdict(row: Row) -> str:
    """Which arm is better, if the interval says so, with the difference."""
    arm, reference = row["arm"], row["reference"]
    if pd.isna(row["estimate"]):
        return f"{arm} and {reference} cannot be compared ({row['note']})"
    # Without a sign where all digits are zero.
    estimate, low, high = (f"{row[c]:+.3f}".replace("-0.000", "0.000") for c in INTERVAL)
    told = f"{score_name(row['score'])} {estimate}, "
    none = pd.isna(row["ci_low"])
    told += "no interval" if none else f"95 % interval {low} to {high}"
    if not none and (row["ci_low"] > 0 or row["ci_high"] < 0):
        word = "higher" if row["ci_low"] > 0 else "lower"
        return f"{arm} scores {word} ({told}) than {reference}"
    return f"no difference is shown ({told}) between {arm} and {reference}"


def score_name(score: str) -> str:
    """A score in words."""
    return score.replace("_", " ").replace("auc", "AUC")
