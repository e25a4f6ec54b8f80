"""HAM10000: dermatoscopic pictures with lesion masks and diagnoses, published as four files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import Dataset, Modality, remove_others
from medtaskatlas.datasets.sources.npz import RemoteFile

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Frame
    from medtaskatlas.datasets.remote.remote_file import Limits

_DIAGNOSES = {  # as the column dx has them
    "akiec": "actinic keratoses and intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesions",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevi",
    "vasc": "vascular lesions",
}


class Ham10000Dataset(Dataset):
    """HAM10000 from its publisher or a copy of the user's own; see :mod:`..archives.ham10000`."""

    downloaded: ClassVar[bool] = True

    source: str = "ham10000"
    title: str = "Pigmented skin lesions on dermoscopy, outlined and diagnosed (HAM10000)"
    modality: Modality = "DERMOSCOPY"
    body_part: str = "skin"
    licence: str = "CC-BY-NC-4.0"
    citation: str = (
        "Tschandl et al., HAM10000, Scientific Data 5:180161 (2018), doi:10.1038/sdata.2018.161; "
        "masks: Tschandl et al., Nature Medicine 26:1229-1234 (2020), "
        "doi:10.1038/s41591-020-0942-0"
    )
    annotation: Literal["ground_truth", "derived", "none"] = "ground_truth"
    annotation_note: str = (
        "diagnosis by histology (more than half), follow-up, consensus or confocal microscopy; "
        "one lesion mask an image by the authors, published later with the data"
    )
    provides: list[Literal["mask", "classes", "instances", "boxes", "label", "colour"]] = Field(
        ["mask", "label", "colour"], description="what tasks may need"
    )
    classes: dict[int, str] = Field({1: "skin lesion"}, description="id: name")
    labels: list[str] = Field(list(_DIAGNOSES.values()), description="diagnoses")
    group_note: str = (
        "A group is a lesion (7,470 of them); which lesions are of one patient is not published."
    )

    reader: Literal["ham10000"]
    files: dict[str, RemoteFile] = Field({}, description="name: where it is downloaded from")
    images: int | None = Field(None, gt=0, description="images that are published")

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> list[dict[str, Any]]:
        """Download the four files."""
        from medtaskatlas.datasets.remote.remote_file import Limits
        from medtaskatlas.datasets.remote.transfer import transfer

        if not self.files:
            raise DataError(
                f"{self.name} has neither `files` nor a copy of your own",
                "write `files` into its entry, or `data` into a dataset.yaml",
            )
        for name, file in self.files.items():
            transfer(
                file.url,
                folder / name,
                md5=file.md5,
                size=file.bytes,
                mirror=mirror,
                magic=(b"PK",) if name.endswith(".zip") else (),
                limits=limits or Limits(),
                title=f"{self.name} ({name})",
            )
        remove_others(folder, set(self.files))
        return [self.manifest_entry(folder, name, file.url) for name, file in self.files.items()]

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame]:
        """All pictures by name."""
        from medtaskatlas.datasets.archives.ham10000 import read_ham10000

        return read_ham10000(folder, list(_DIAGNOSES))

    def raw_bytes(self, image_size: int) -> int:
        """Size of the files that are downloaded; nothing of a copy of the user's own."""
        return sum(file.bytes or 0 for file in self.files.values())

    @property
    def n_images(self) -> int | None:
        """Images that the publisher counts."""
        return self.images

    @property
    def n_published(self) -> str:
        """The same, for people."""
        return f"{self.images:,}" if self.images else "-"
