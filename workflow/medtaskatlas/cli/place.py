"""``medtaskatlas place``: where a task of your own belongs, and what to pre-train it on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, get_args

import typer

from medtaskatlas.cli.text import check_filter
from medtaskatlas.core.errors import ConfigError

EXAMPLES = """Examples:

medtaskatlas place mine --run results/embedded

medtaskatlas place --images scans --masks lesions --run results/embedded --out where
"""


def place(  # noqa: PLR0917 - options of the command line
    folder: Annotated[
        Path | None,
        typer.Argument(help="folder with input/ and output/, whose files have the same names"),
    ] = None,
    run: Annotated[Path, typer.Option(help="folder of the run")] = Path("results/embedded"),
    images: Annotated[
        Path | None, typer.Option(help="in place of FOLDER: folder of the inputs")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="with --images: folder of masks that hold class numbers, 0 is background"
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="encoder of the run; default: the model that names validation pairs best"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")] = Path("placed"),
    modality: Annotated[
        str | None,
        typer.Option(help="modality, which decides grey levels beyond 8 bits, such as CT or MR"),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="centre and width of grey levels (CT: HU)"),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the resampling")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an answer that is there")
    ] = False,
) -> None:
    """Place a task, shown by ten pairs and more, among the tasks of a run."""
    from medtaskatlas.datasets.dataset import Modality
    from medtaskatlas.place.place import PAGE, TABLE
    from medtaskatlas.place.place import place as answer

    start = time.perf_counter()
    check_filter("--modality", [modality] if modality else None, get_args(Modality))
    inputs, outputs = _sides(folder, images, masks)
    found = answer(
        inputs,
        outputs,
        run,
        out,
        masks=masks is not None,
        encoder=encoder,
        modality=modality,
        window=window,
        seed=seed,
        overwrite=overwrite,
        say=lambda line: typer.echo(line, err=True),
    )
    for line in found["text"]:
        typer.echo(line)
    for line in found["warnings"]:
        typer.echo(f"warning: {line}", err=True)
    typer.echo(
        f"wrote {out / TABLE} and {out / PAGE} ({time.perf_counter() - start:.1f} s)", err=True
    )


def _sides(folder: Path | None, images: Path | None, masks: Path | None) -> tuple[Path, Path]:
    """Folders of the inputs and the outputs."""
    if folder is not None and images is None and masks is None:
        from medtaskatlas.core.files import existing_folder

        existing_folder(folder)
        return folder / "input", folder / "output"
    if folder is None and images is not None and masks is not None:
        return images, masks
    raise ConfigError(
        "FOLDER, --images and --masks: pairs are in one folder, or images and masks in two",
        "give FOLDER, with input/ and output/ in it; or --images and --masks",
    )
