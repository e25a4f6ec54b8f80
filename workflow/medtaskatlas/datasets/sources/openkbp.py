"""OpenKBP: planned dose, targets and organs on CT, published as a repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import Dataset, Modality, Part, Quantity, Split, remove_others

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Excluded, Frame
    from medtaskatlas.datasets.remote.remote_file import Limits

DATA = "provided-data"
_PATIENT_BYTES = 8_000_000  # most files of a patient; the whole is not published as a number
_CLASSES = (
    *("PTV70 (target, 70 Gy)", "PTV63 (target, 63 Gy)", "PTV56 (target, 56 Gy)"),
    *("brainstem", "spinal cord", "right parotid", "left parotid"),
    *("oesophagus", "larynx", "mandible"),
)


class Archive(Part):
    """A commit of a repository as an archive."""

    url: str = Field(pattern=r"^https://[^\s/]+/\S+$", description="where it is published")
    tree: str = Field(
        pattern="^[0-9a-f]{40}$",
        description=f"git's hash of {DATA} in it, since the bytes of such archives may change",
    )


class OpenKbpDataset(Dataset):
    """OpenKBP, whole from its repository or a copy of the user's own; see :mod:`..io.openkbp`."""

    downloaded: ClassVar[bool] = True

    source: str = "openkbp"
    title: str = "Planned radiotherapy dose, targets and organs on axial head-and-neck CT slices"
    modality: Modality = "CT"
    body_part: str = "head and neck"
    licence: str = "MIT"
    licence_note: str = (
        "MIT for the repository, data included; the CT images come from collections of The Cancer "
        "Imaging Archive, whose own terms it does not name"
    )
    citation: str = (
        "Babier et al., OpenKBP: The open-access knowledge-based planning grand challenge and "
        "dataset, Medical Physics 48:5549-5561 (2021), doi:10.1002/mp.14845"
    )
    annotation: Literal["ground_truth", "derived", "none"] = "ground_truth"
    annotation_note: str = (
        "targets and organs as contoured in the clinic, so that an absent organ may be one that "
        "nobody drew; where structures overlap, the smaller one is seen. The dose is of plans that "
        "the authors made with one method (nine fields, 35 fractions), not what was given"
    )
    provides: list[Literal["mask", "classes", "instances", "boxes", "label", "colour"]] = Field(
        ["mask", "classes"], description="what tasks may need"
    )
    classes: dict[int, str] = Field(dict(enumerate(_CLASSES, start=1)), description="structures")
    maps: dict[str, Quantity] = Field(
        {"dose": Quantity(unit="Gy", description="planned dose; counts where dose is possible")},
        description="quantity of each pixel",
    )
    group_note: str = "A group is a patient; the published split is kept."

    reader: Literal["openkbp"]
    archive: Archive | None = Field(None, description="where it is downloaded from")
    patients: dict[Split, Annotated[int, Field(gt=0)]] = Field(
        {}, description="patients that are published in each split"
    )
    window: tuple[float, float] = Field((40, 400), description="centre and width of CT, HU")
    slices: int = Field(6, ge=1, description="most slices of a patient")

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> list[dict[str, Any]]:
        """Download the archive, unpack it, and keep the data if they are those of the commit."""
        from medtaskatlas.datasets.archives.extract import extract
        from medtaskatlas.datasets.archives.git_tree import tree_id
        from medtaskatlas.datasets.remote.remote_file import Limits
        from medtaskatlas.datasets.remote.transfer import transfer

        archive, data = self.archive, folder / DATA
        if archive is None:
            raise DataError(
                f"{self.name} has neither `archive` nor a copy of your own",
                "write `archive` into its entry, or `data` into a dataset.yaml",
            )
        if not (data.is_dir() and tree_id(data) == archive.tree):
            packed, unpacked = folder / "archive.zip", folder / "unpacked"
            shutil.rmtree(unpacked, ignore_errors=True)
            transfer(
                archive.url,
                packed,
                mirror=mirror,
                magic=(b"PK",),
                limits=limits or Limits(),
                title=f"{self.name} ({archive.url.rsplit('/', 1)[-1]})",
            )
            extract(packed, unpacked)
            packed.unlink()  # whatever is in it: without a hash it is fetched anew
            found = sorted(unpacked.glob(f"*/{DATA}"))
            if not found:
                raise DataError(
                    f"{archive.url} holds no folder {DATA}", "mend `archive.url` of its entry"
                )
            if (tree := tree_id(found[0])) != archive.tree:
                raise DataError(
                    f"{archive.url}: {DATA} is not what the catalogue says: expected the git tree "
                    f"{archive.tree}, found {tree}",
                    "start the run again; if it stays, the archive is of another commit",
                )
            shutil.rmtree(data, ignore_errors=True)
            found[0].rename(data)
        remove_others(folder, {DATA})
        files = sorted(path.relative_to(folder).as_posix() for path in data.rglob("*.csv"))
        return [self.manifest_entry(folder, file, archive.url) for file in files]

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Axial slices of all patients, by split and number."""
        from medtaskatlas.datasets.io.openkbp import read_openkbp

        return read_openkbp(folder, self.window, self.slices)

    def raw_bytes(self, image_size: int) -> int | None:
        """Nothing of a copy of the user's own; else not stated."""
        return None if self.folder is None else 0

    def most_raw_bytes(self, image_size: int) -> int:
        """About what the published patients take."""
        return 0 if self.folder is not None else sum(self.patients.values()) * _PATIENT_BYTES

    @property
    def n_images(self) -> int | None:
        """At most the slices of all published patients."""
        return sum(self.patients.values()) * self.slices or None

    @property
    def n_published(self) -> str:
        """Patients that the publisher counts."""
        return f"{sum(self.patients.values()):,} patients" if self.patients else "-"
