"""Run the workflow for real, in a folder of its own."""

from __future__ import annotations

import os
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
