"""One smoke run for all tests of the workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs import snakemake


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a finished smoke run, made with two cores."""
    folder = tmp_path_factory.mktemp("smoke")
    snakemake(folder, "--cores", "2")
    return folder
