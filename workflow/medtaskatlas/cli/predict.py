"""``medtaskatlas predict``: a trained multi-task system or arm of Medformer on your own images."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from medtaskatlas.cli.text import check_filter
from medtaskatlas.core.errors import ConfigError

Axis = StrEnum("Axis", ["axial", "coronal", "sagittal", "thickest"])
SYSTEMS = ("multitask", "medformer")  # folders of a run
EXAMPLES = """Examples:

medtaskatlas predict results/mine/multitask/busi/hps new_images --out predictions

medtaskatlas predict medformer/ssl_multi scan.nii.gz --run results/mine --set adrenalmnist3d
"""


def predict(  # noqa: PLR0917 - options of the command line
    model: Annotated[
        Path,
        typer.Argument(
            help="multitask/<problem>/<system> of a run: the mean of its seeds and folds; or a "
            "seed in it. medformer/<arm>: the mean of its seeds; or a folder below medformer/"
        ),
    ],
    path: Annotated[Path, typer.Argument(help="a picture or volume, or a folder of them")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")] = Path(
        "predictions"
    ),
    run: Annotated[
        Path | None,
        typer.Option(help="results/<run>, where the model does not begin with it"),
    ] = None,
    set_name: Annotated[
        str | None,
        typer.Option(
            "--set",
            help="medformer: set whose targets are predicted; default: the only one of that kind "
            "of image",
        ),
    ] = None,
    labels: Annotated[
        int | None,
        typer.Option(
            help="medformer: trained with so many percent of the labels; default: the most"
        ),
    ] = None,
    axis: Annotated[
        Axis | None, typer.Option(help="plane of the slices of volumes; default: as trained")
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(
            help="modality, which decides grey levels, of medformer the latent too (mean: the mean "
            "of all); default: as trained"
        ),
    ] = None,
    body_part: Annotated[
        str | None, typer.Option(help="medformer: the same of the body part")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="medformer: latent of the task, or mean; default: its own")
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="centre and width of grey levels (CT: HU); default: as trained"),
    ] = None,
    targets_dir: Annotated[
        Path | None, typer.Option(help="multitask: folder with your own kinds of targets")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace predictions that are there")
    ] = False,
) -> None:
    """Predict masks, maps, labels and values of pictures and volumes."""
    common: dict[str, Any] = {
        "axis": axis,
        "modality": modality,
        "window": window,
        "overwrite": overwrite,
        "say": lambda line: typer.echo(line, err=True),
    }
    named = [part for part in model.parts[:-1] if part in SYSTEMS]
    if named and named[-1] == "medformer":
        from medtaskatlas.medformer.predict import predict_arm

        _refuse("medformer", {"--targets-dir": targets_dir})
        common |= {"set_name": set_name, "labels": labels, "body_part": body_part, "task": task}
        whole = predict_arm(model, path, out, run=run, **common)
    else:
        from medtaskatlas.datasets.dataset import Modality
        from medtaskatlas.multitask.predict import predict_folder

        others = {"--set": set_name, "--labels": labels, "--body-part": body_part, "--task": task}
        _refuse("multitask", others)
        check_filter("--modality", [modality] if modality else None, get_args(Modality))
        place = run / model if run else model
        whole = predict_folder(place, path, out, targets_dir=targets_dir, **common)
    if not whole:
        raise typer.Exit(1)


def _refuse(system: str, options: Mapping[str, object]) -> None:
    """Refuse options that a kind of model has not."""
    for option, value in options.items():
        if value is not None:
            raise ConfigError(f"{option}: models of {system} have no such option", "leave it out")
