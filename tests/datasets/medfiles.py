"""Small medical files made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medtaskatlas.datasets.sources.packaged import PackagedDataset

SIZE = 64  # side of the images that the tests prepare


def make_dataset(files: list[str], recipe: dict, **keys) -> PackagedDataset:
    """Entry of a catalogue around files that are in no package."""
    return PackagedDataset.model_validate(
        {
            "name": "toy",
            "source": "embedded",
            "title": "toy",
            "modality": "MR",
            "body_part": "none",
            "licence": "CC0-1.0",
            "citation": "none",
            "annotation": "none",
            "group_note": "none",
            "reader": "packaged",
            "files": [
                {
                    "package": "toy",
                    "version": "1",
                    "path": f"toy/{f}",
                    "sha256": "0" * 64,
                    "bytes": 1,
                }
                for f in files
            ],
            "recipe": recipe,
            **keys,
        }
    )


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    photometric: str = "MONOCHROME2",
    big_endian: bool = False,
    **tags,
) -> Path:
    """A small uncompressed DICOM file; `pixels` [H, W], [H, W, 3] or [F, H, W]."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import (
        CTImageStorage,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        generate_uid,
    )

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRBigEndian if big_endian else ExplicitVRLittleEndian
    ds = FileDataset(
        str(path),
        {},
        preamble=b"\0" * 128,
        file_meta=meta,
        is_implicit_VR=False,
        is_little_endian=not big_endian,
    )
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PhotometricInterpretation = photometric
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 and pixels.shape[-1] == 3 else 1
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[-2:] if ds.SamplesPerPixel == 1 else pixels.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = ">" if big_endian else "<"
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)
    return path
