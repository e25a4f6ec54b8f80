"""Run the workflow for real, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from medtaskatlas.core.files import REPOSITORY

SMOKE = REPOSITORY / "config" / "smoke.yaml"


def command(
    folder: Path,
    *arguments: str | Path,
    snakefile: Path = REPOSITORY / "Snakefile",
    config: Path = SMOKE,
) -> list[str]:
    """Command line of Snakemake, by default on the smoke configuration, in a folder."""
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(snakefile)),
        *("--directory", str(folder), "--workflow-profile", "none", "--rerun-incomplete"),
        *map(str, arguments),
        # Last: it would take a target behind it for another file.
        *("--configfile", str(config)),
    ]


def snakemake(
    folder: Path, *arguments: str | Path, check: bool = True, **options
) -> subprocess.CompletedProcess:
    """Run Snakemake to its end."""
    done = subprocess.run(
        command(folder, *arguments, **options),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    if check and done.returncode:
        raise AssertionError(f"snakemake {arguments}:\n{done.stdout}\n{done.stderr}")
    return done


def files(folder: Path, pattern: str) -> dict[str, bytes]:
    """Content of the files of a folder that match a pattern, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def project_copy(folder: Path) -> Path:
    """A copy of what Snakemake reads of the project, to be edited."""
    for part in ("Snakefile", "workflow", "envs", "config"):
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / part)
    return folder


def of_project(folder: Path) -> dict[str, str]:
    """Environment in which the package is that of a copy of the project."""
    return {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(folder / "workflow")}


def due_jobs(text: str) -> dict[str, int]:
    """Rule to number of jobs, from the statistics of a dry run."""
    rows = [line.split() for line in text.splitlines()]
    counts = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    return {r: n for r, n in counts.items() if r.isidentifier() and r not in ("all", "total")}
