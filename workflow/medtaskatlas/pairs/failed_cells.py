"""Cells of the grid whose pairs could not be made, and why: what a run ends with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Set of pairs to the name of its rule behind make_, and of its folder of logs. Where one job makes
# many cells, all logs are among those of the main pairs.
RULE_OF_SET = {"main": "pairs", "failure": "failures", "trajectory": "trajectories"}

# A line of a job's log (core.job_facts.LOG_FORMAT); what follows it belongs to it up to the next.
_ERROR = re.compile(r"^\S+ \S+ ERROR (.*)$", re.MULTILINE)


def failed_cells(results: str | Path, cells: Iterable[tuple[str, str]]) -> list[str]:
    """Lines that name the failed cells of a run.

    Parameters
    ----------
    results
        Folder of the run.
    cells
        (task, dataset) of the cells that it should have.

    Returns
    -------
    list of str
        How many failed, then a line for each with its first error; empty where none did. A cell
        that was not reached, or that was stopped from outside, has not failed.
    """
    results = Path(results)
    lines = []
    for task, dataset in cells:
        for set_name, rule in RULE_OF_SET.items():
            if (results / "pairs" / set_name / task / f"{dataset}.arrow").exists():
                continue
            log = results / "logs" / rule / task / f"{dataset}.log"
            told = _ERROR.search(log.read_text(errors="replace")) if log.exists() else None
            if told:
                lines.append(f"failed: {rule} of {task} on {dataset}: {told[1]}")
                break
    if lines:
        lines.insert(0, f"the pairs of {len(lines)} cells could not be made:")
    return lines
