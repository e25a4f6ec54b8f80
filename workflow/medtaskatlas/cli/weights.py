"""``medtaskatlas weights``: weights of encoders that a run does not fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medtaskatlas.encoders.kinds.clip import MODEL

app = typer.Typer(no_args_is_help=True, help="Weights of encoders that a run does not fetch.")


@app.callback()
def _weights() -> None:
    """Weights of encoders that a run does not fetch."""


@app.command("clip")
def fetch_weights_of_clip(
    model: Annotated[str, typer.Option(help="name at Hugging Face")] = MODEL,
    folder: Annotated[
        Path | None, typer.Option(help="where to; by default data/weights/<model>")
    ] = None,
) -> None:
    """Download the weights of CLIP; goes on where an earlier call was cut off."""
    from medtaskatlas.encoders.clip_weights import fetch_clip

    typer.echo(f"the weights of {model} are in {fetch_clip(model, folder)}")
