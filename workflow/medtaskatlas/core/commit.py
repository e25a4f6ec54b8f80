"""Which commit of the code this is."""

from __future__ import annotations

import subprocess

from medtaskatlas.core.files import REPOSITORY


def commit() -> str:
    """Commit of the code, and whether it was changed since.

    Returns
    -------
    str
        As ``git describe`` has it, with ``-dirty`` behind a changed one.
    """
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "not in git"
