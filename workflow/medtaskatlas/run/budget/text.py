"""An estimate as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_text(found: Mapping[str, Any]) -> str:
    """Lines of a table a rule, and what it comes to in all.

    Parameters
    ----------
    found
        What :func:`medtaskatlas.run.budget.estimate.estimate` found.

    Returns
    -------
    str
        The text.
    """
    total, wall, disk = found["total"], found["wall_hours"], found["disk_gb"]
    head = ["rule", "jobs", "CPU-hours", "GPU-hours", "longest job", "peak memory"]
    rows = [_row(row) for row in found["rules"]]
    whole = {**total, "longest_job_hours": None, "peak_mb": total["peak_mb_of_a_job"]}
    rows.append(_row({"rule": "in all", "measured": True, "far_from_measured": False, **whole}))
    cards = f" and {found['gpus']} GPU ({found['gpu']})" if found["gpus"] else ", no GPU"
    about = found["rates"]
    lines = [
        found["summary"],
        "",
        *_aligned([head, *rows]),
        "",
        f"wall clock  {_hours(wall['all'])} on {found['cores']} cores{cards}: "
        + ", ".join(f"{k} {_hours(v)}" for k, v in wall.items() if k != "all"),
        "GPU-hours   "
        + ", ".join(f"{v:,.1f} on {k} cards" for k, v in found["gpu_hours"].items())
        + " (estimate)",
        f"memory      {_size(total['peak_mb_at_once'])} where the largest jobs meet",
        f"disk        {disk['all']:,.1f} GB: "
        + ", ".join(f"{k} {v:,.2f}" for k, v in disk.items() if k != "all"),
        f"Slurm       {found['slurm']['submissions']} submissions, "
        f"{found['slurm']['of_pairs']} of them pairs",
        "",
        f"rates       of {about['jobs']} jobs on {about['machine']}, commit {about['commit']}: "
        f"{about['command']}",
        *(f"- {note}" for note in found["notes"]),
    ]
    return "\n".join(lines)


def _row(row: Mapping[str, Any]) -> list[str]:
    mark = "~" if row["far_from_measured"] else ""
    longest = row["longest_job_hours"]
    known = row["measured"]
    return [
        row["rule"],
        f"{row['jobs']:,}",
        f"{mark}{row['cpu_hours']:,.2f}" if known else "?",
        f"{row['gpu_hours']:,.2f}" if row["gpu_hours"] else "-",
        "" if longest is None else (f"{mark}{_hours(longest)}" if known else "?"),
        f"{mark}{_size(row['peak_mb'])}" if known else "?",
    ]


def _hours(hours: float) -> str:
    """Hours as people say them."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def _size(megabytes: float) -> str:
    return f"{megabytes:,.0f} MB" if megabytes < 10_000 else f"{megabytes / 1e3:,.1f} GB"


def _aligned(rows: list[list[str]]) -> list[str]:
    """First column to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
