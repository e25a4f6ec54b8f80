"""Jobs in a container (`snakemake --sdm apptainer`)."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import medtaskatlas
from medtaskatlas.core.errors import ConfigError


def enter_container(image: str) -> None:
    """Check the image and let the code of this checkout, not that of the image, run in it.

    Apptainer and Singularity hand on what the environment gives them by these names.

    Parameters
    ----------
    image
        A file, or an address with a scheme.

    Raises
    ------
    ConfigError
        If the image is a file that does not exist.
    """
    if not urlsplit(image).scheme and not Path(image).is_file():
        raise ConfigError(
            f"--sdm apptainer runs jobs in {image}, and there is no such file",
            "build it (docs/containers.md), or name another with --config container=PATH",
        )
    package = str(Path(medtaskatlas.__file__).parents[1])
    for tool in ("APPTAINERENV", "SINGULARITYENV"):
        os.environ[f"{tool}_PYTHONPATH"] = package
