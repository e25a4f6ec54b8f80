"""Run the workflow for real, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from medtaskatlas.files import REPOSITORY

SMOKE = REPOSITORY / "config" / "smoke.yaml"


def command(folder: Path, *arguments: str | Path, snakefile: Path | None = None) -> list[str]:
    """Command line of Snakemake on the smoke configuration; results go to the folder."""
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(snakefile or REPOSITORY / "Snakefile")),
        *("--directory", str(folder), "--workflow-profile", "none", "--rerun-incomplete"),
        *("--configfile", str(SMOKE)),
        *map(str, arguments),
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
