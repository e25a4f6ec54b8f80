"""Findings of transfer: which predictor of gains is best, and what it is worth against the bar."""

from __future__ import annotations

import pandas as pd

from medtaskatlas.atlas.findings import ABOVE_CHANCE, ALPHA, NOT_SUPPORTED, Row, Rows, Tables
from medtaskatlas.atlas.multitask.findings import above, finding
from medtaskatlas.atlas.transfer.prediction import ALL, HELDOUT, OF_SEEDS, best_of_ours
from medtaskatlas.atlas.transfer.predictors import ENCODER

PROTOCOLS = {
    "warm": "from warm starts (the whole network)",
    "shared": "from shared features (a new decoder)",
    "affinity": "by training together",
}
MEASURE = "target_centred"
# The plain difference of outputs, in both forms: a distance has to beat the better one.
BARS = ("output_mse", "output_mse_log")


def predictions(tables: Tables) -> Rows:
    """The best predictor of every protocol, on held-out datasets where there are some.

    It is picked where sources were trained: of a best that is picked and scored on the same cells
    the number is too high, and the sentence says so. Supported where the intervals of its lead over
    output MSE, over tasks and over datasets, lie above 0, and the shuffled control is at 0.
    """
    if "transfer_prediction" not in tables:
        return
    for protocol, rows in tables["transfer_prediction"].groupby("protocol", sort=False):
        best = best_of_ours(rows)
        if best is None:
            continue
        where = HELDOUT if (rows["dataset"] == HELDOUT).any() else ALL
        here = rows[rows["dataset"] == where]
        own = here[here["predictor"] == best["predictor"]]
        if isinstance(best["encoder"], str):
            own = own[own["encoder"] == best["encoder"]]
        by = {
            (row["measure"], row["against"] if isinstance(row["against"], str) else None): row
            for row in own.to_dict("records")
        }
        row = by[MEASURE, None]
        if pd.isna(row["estimate"]):
            continue
        leads = [by[MEASURE, bar] for bar in BARS if (MEASURE, bar) in by]
        lead = min(leads, key=lambda one: one["estimate"], default=None)
        control = here[(here["predictor"] == "shuffled_distances") & (here["measure"] == MEASURE)]
        passed = not (control["p_adjusted"] < ALPHA).any()
        tested = pd.notna(row["p_adjusted"]) and row["p_adjusted"] < ALPHA
        ahead = bool(leads) and all(above(one, 0) and _over_datasets(one) for one in leads)
        yield _judged(
            finding(
                f"transfer_predicted_{protocol}",
                row | {"system": _name(row)},
                f"of what is known before any training on two tasks, {_name(row)} tells best how "
                f"much one gains from the other {PROTOCOLS[str(protocol)]}"
                + (" on datasets that no source was trained on" if where == HELDOUT else "")
                + f": rank correlation {_number(row)} of {row['n_cells']:,} cells of "
                f"{row['n_sources']} sources and {row['n_targets']} targets, adjusted p = "
                f"{row['p_adjusted']:.2g}{_regret(by.get(('regret_ratio', None)))}. "
                + _lead(lead)
                + _ceiling(here)
                + ("" if where == HELDOUT else "It was picked as the best on these very cells. ")
                + ("" if passed else "The control (shuffled distances) failed. ")
                + "Here",
                passed and tested and ahead,
                copied=("p", "p_adjusted", "p_family"),
            ),
            "datasets" if where == HELDOUT else "groups",
            passed and tested and not ahead,
        )


def _judged(row: dict[str, object], split: str, above_chance: bool) -> dict[str, object]:
    """A finding with its split, and its verdict where it is no more than above chance."""
    verdict = ABOVE_CHANCE if above_chance and row["verdict"] == NOT_SUPPORTED else row["verdict"]
    return row | {"split": split, "verdict": verdict}


def _name(row: Row) -> str:
    """A predictor; a space by its encoder."""
    if row["predictor"] == ENCODER:
        return f"distance in the space of {row['encoder']}"
    of = f" of {row['encoder']}" if isinstance(row["encoder"], str) else ""
    return f"the predictor {row['predictor']}{of}"


def _number(row: Row) -> str:
    """A score with its interval."""
    if pd.isna(row["ci_low"]):
        return f"{row['estimate']:.2f} (no interval)"
    return f"{row['estimate']:.2f} (95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f})"


def _over_datasets(row: Row) -> bool:
    """Whether the interval over datasets does not speak against a lead; of one there is none."""
    return bool(pd.isna(row["datasets_low"]) or row["datasets_low"] > 0)


def _regret(row: Row | None) -> str:
    """What a choice by it loses."""
    if row is None or pd.isna(row["estimate"]):
        return ""
    return f"; its choice of a source loses {row['estimate']:.2f} times what a random one does"


def _lead(row: Row | None) -> str:
    """The smaller lead over the bar."""
    if row is None or pd.isna(row["estimate"]):
        return "The lead over output MSE is not known. "
    form = "output MSE" if row["against"] == BARS[0] else "the log of output MSE"
    over = ""
    if pd.notna(row["datasets_low"]):
        over = f"; over datasets {row['datasets_low']:.2f} to {row['datasets_high']:.2f}"
    return f"Lead over {form}: {_number(row)}{over}. "


def _ceiling(rows: pd.DataFrame) -> str:
    """What gains of another seed tell."""
    found = rows[(rows["predictor"] == OF_SEEDS) & (rows["measure"] == MEASURE)]
    if found["estimate"].notna().any():
        return f"Gains of another seed reach {_number(found.iloc[0].to_dict())}. "
    return "With one seed there is no noise ceiling. "
