"""``medtaskatlas replay``: make a stored pair again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    pair_id: Annotated[str, typer.Argument(help="e.g. main/rotation/ct_dicom/17")],
    run: Annotated[Path, typer.Option(help="folder of the run")] = Path("results/embedded"),
    out: Annotated[Path | None, typer.Option(help="write input and output to this PNG")] = None,
    tasks_dir: Annotated[Path | None, typer.Option(help="folder with your own tasks")] = None,
) -> None:
    """Make a stored pair again from its row and its image alone, and compare bit for bit."""
    from medtaskatlas.pairs.replay import verify

    before, after = verify(run, pair_id, tasks_dir)
    typer.echo(f"{pair_id}: {before.shape[1]} x {before.shape[0]} px, equal to what is stored")
    if out is not None:
        import cv2
        import numpy as np

        from medtaskatlas.core.files import atomic_write

        both = np.concatenate([before, after], axis=1)[..., ::-1]
        with atomic_write(out) as part:
            part.write_bytes(cv2.imencode(".png", both)[1].tobytes())
        typer.echo(f"wrote {out}")
