"""The finding of Medformer's pretexts: whether the atlas says which of them helps a target."""

from __future__ import annotations

import pandas as pd

from medtaskatlas.atlas.findings import ALPHA, TEST, Row, Rows, Tables
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.atlas.multitask.findings import finding


def pretexts(tables: Tables) -> Rows:
    """A sentence a model, on average over targets where there are several.

    What an untrained space or the mere family says as well is not the atlas' to say: a finding
    holds only where distance in the model's space goes with gain more closely than any of them.
    """
    if "medformer_pretext_ranks" not in tables:
        return
    table = tables["medformer_pretext_ranks"]
    table = table[table["estimate"].notna()]
    roles = tables["identification"].drop_duplicates("encoder").set_index("encoder")["role"]
    table = table.assign(role=table["encoder"].map(roles))
    for (labels, reference), rows in table.groupby(["labels", "reference"]):
        several = (rows["set"] == ALL).any()
        for _, one in rows[(rows["set"] == ALL) | (not several)].groupby(["set", "target"]):
            controls = one[(one["role"] == "baseline") | (one["predictor"] == "family")]
            for row in one[one["role"] == "model"].to_dict("records"):
                holds = row["p_adjusted"] < ALPHA and row["estimate"] < 0
                least = controls["estimate"].min()
                beaten = not least <= row["estimate"]
                words = "help it more" if holds else "are not seen to help it more"
                where = "" if several else f" ({row['target']} of {row['set']})"
                mean = f" (mean over {row['n_targets']} targets)" if several else ""
                told = ", ".join(map(_told, controls.to_dict("records"))) or "none"
                yield finding(
                    f"pretexts_near_help_{labels}_{reference}",
                    row | {"system": row["encoder"]},
                    f"of {row['n_pretexts']} pretexts, those that lie nearer to a target{where} in "
                    f"the space of {row['encoder']} {words}: with {labels} % of the labels, the "
                    "rank correlation of distance and gain over training from scratch for as long "
                    f"is {_number(row)}{mean}. Controls, which learned nothing of tasks: {told}."
                    + (" One of them says as much." if holds and not beaten else ""),
                    holds and beaten,
                    copied=TEST,
                )


def _number(row: Row) -> str:
    """Estimate, interval and p."""
    interval = "no interval"
    if pd.notna(row["ci_low"]):
        interval = f"95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f}"
    return f"{row['estimate']:.2f} ({interval}; adjusted p = {row['p_adjusted']:.2g})"


def _told(row: Row) -> str:
    """A control with its number."""
    name = row["encoder"] if row["predictor"] == "distance" else "being of another family"
    return f"{name} {_number(row)}"
