"""Weights of CLIP: downloaded once, by a command and never in a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.kinds.clip import FILES, MODEL, WEIGHTS

HUB = "https://huggingface.co"


def fetch_clip(
    model: str = MODEL, folder: str | Path | None = None, *, endpoint: str | None = None
) -> Path:
    """Download weights of CLIP, so that a run finds them.

    Resumes and checks the published SHA-256. OpenAI's model has no safetensors on its main branch:
    then pytorch_model.bin is fetched, read without running anything in it, and its vision network
    written as safetensors.

    Parameters
    ----------
    model
        Name at Hugging Face.
    folder
        None: data/weights/<model>.
    endpoint
        Address of the hub; None: HF_ENDPOINT of the environment, or Hugging Face.

    Returns
    -------
    pathlib.Path
        The folder, with config.json, model.safetensors and origin.json (commit, sizes, hashes).

    Raises
    ------
    DataError
        If there is no such model, it is no CLIP, or it is not available; what came is kept.
    """
    # Not huggingface_hub: its version 2 throws away what came when a download is cut off.
    from medtaskatlas.encoders.clip_network import clip_config, vision_copy

    folder = WEIGHTS / model if folder is None else Path(folder)
    hub = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    whole, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    origin = folder / "origin.json"
    _fetch(f"{hub}/api/models/{model}?blobs=true", origin, {}, f"check the name; try {MODEL}; or ")
    try:
        facts = json.loads(origin.read_text())
        place = f"{hub}/{model}/resolve/{facts['sha']}"
        published = {file["rfilename"]: file.get("lfs") or {} for file in facts["siblings"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{origin} is no answer of Hugging Face: {error}", "see HF_ENDPOINT"
        ) from error
    source = next((f for f in (whole, pickled) if f.name in published), None)
    if source is None or "config.json" not in published:
        raise DataError(
            f"{model} has no {' and '.join(FILES)} at Hugging Face",
            f"choose a CLIP that is published for transformers, such as {MODEL}",
        )
    _fetch(f"{place}/config.json", folder / "config.json", {})
    clip_config(folder)
    if source == pickled and whole.is_file():
        return folder
    _fetch(f"{place}/{source.name}", source, published[source.name])
    if source == pickled:
        vision_copy(pickled, whole)
        pickled.unlink()
    return folder


def _fetch(url: str, target: Path, published: dict[str, Any], hint: str = "") -> None:
    """Download one file, with the size and hash that the hub states for large ones."""
    from medtaskatlas.datasets.remote.transfer import transfer

    try:
        transfer(url, target, sha256=published.get("sha256"), size=published.get("size"))
    except DataError as error:
        raise DataError(
            error.problem,
            f"{hint}start the same command again, it goes on where it stopped; without a network "
            f"copy {' and '.join(FILES)} to {target.parent} by hand",
        ) from error
