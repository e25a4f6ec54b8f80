"""The findings as DVC reads them: numbers of `dvc metrics`, rows of `dvc plots`."""

from __future__ import annotations

import json
import math
from pathlib import Path

from medtaskatlas.atlas.findings import VERDICTS
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.files import atomic_write

PLOTTED = ("finding", "split", "encoder", "estimate", "ci_low", "ci_high", "verdict", "n_subjects")


def metrics(
    summary_path: str | Path, metrics_out: str | Path, plots_out: str | Path, *, run: str
) -> None:
    """Write the estimates of the table `summary` where `dvc metrics` and `dvc plots` find them.

    Parameters
    ----------
    summary_path
        results/<run>/tables/summary.parquet.
    metrics_out
        JSON: ``supported``, ``above_chance`` and ``not_supported`` are numbers of findings; then
        the estimate by finding, split and encoder, NaN as null.
    plots_out
        CSV, one row a finding, split and encoder: columns ``label`` and :data:`PLOTTED`.
    run
        Name of the run.

    Raises
    ------
    DataError
        If the table is missing, damaged or of another run.
    """
    table = read_table(summary_path, "summary", run=run)
    findings: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in table.to_dict("records"):
        value = None if math.isnan(row["estimate"]) else round(float(row["estimate"]), 6)
        by_split = findings.setdefault(str(row["finding"]), {})
        by_split.setdefault(str(row["split"]), {})[str(row["encoder"])] = value
    number = {v.replace(" ", "_"): int((table["verdict"] == v).sum()) for v in VERDICTS}
    numbers = {**number, **findings}
    with atomic_write(metrics_out) as part:
        part.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
    label = table["finding"] + ", " + table["split"] + ", " + table["encoder"]
    with atomic_write(plots_out) as part:
        table.assign(label=label)[["label", *PLOTTED]].to_csv(part, index=False)
