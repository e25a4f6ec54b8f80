"""To data/<source>/<dataset>/: copied or downloaded, checked, listed in a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medtaskatlas.core.files import write_json
from medtaskatlas.datasets.dataset import MANIFEST, Dataset
from medtaskatlas.datasets.folder.files import list_files
from medtaskatlas.datasets.remote.remote_file import Limits

Entry = dict[str, Any]


def fetch(
    dataset: Dataset,
    folder: Path,
    *,
    image_size: int = 64,
    mirror: str | None = None,
    limits: Limits | None = None,
) -> None:
    """Bring the files of a dataset into its folder and list them in a manifest.

    Files that are there already and right are kept, others are removed. The manifest is written
    last and taken away first, so a folder that has one is whole. A user's own files stay where they
    are: only their manifest is written.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its folder, data/<source>/<dataset>.
    image_size
        Side of the images that will be made: which of the published sizes is fetched, pixels.
    mirror
        URL or folder that stands in for the internet.
    limits
        Bounds of downloads.

    Raises
    ------
    DataError
        If a file cannot be had or its content is not what the catalogue says.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    files: Iterable[Entry]
    if dataset.folder is None:
        files = dataset.fetch(folder, image_size=image_size, mirror=mirror, limits=limits)
    else:
        root = Path(dataset.folder)
        own = [entry.name for entry in list_files(root) if dataset.is_own(entry.name)]
        files = [dataset.manifest_entry(root, name, "folder") for name in own]
    write_json(folder / MANIFEST, manifest(dataset, files))


def manifest(dataset: Dataset, files: Iterable[Entry]) -> dict[str, object]:
    """What the manifest of a dataset says.

    Parameters
    ----------
    dataset
        The dataset.
    files
        An entry a file: file, bytes, sha256, origin, licence.

    Returns
    -------
    dict
        Dataset, source, licence and files; no time, host or path of this machine, so that DVC
        sees the same folder everywhere.
    """
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "files": sorted(files, key=lambda file: str(file["file"])),
    }
