"""Copies of a source's data that are the user's own."""

from __future__ import annotations

import json

import numpy as np
import yaml

from generated import SPLITS
from medtaskatlas.datasets.catalogue import CATALOGUE, listing
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.own import check_own, load_own
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.formats.images import ImageSet


def test_any_source_reads_a_copy_where_it_lies(tmp_path):
    """A MedMNIST file on this disk, with the catalogue's keys and other counts."""
    rng = np.random.default_rng(0)
    counts = {"train": 6, "val": 4, "test": 4}
    arrays = {f"{s}_images": rng.integers(0, 256, (n, 64, 64), np.uint8) for s, n in counts.items()}
    arrays |= {f"{s}_labels": np.arange(n).reshape(-1, 1) % 2 for s, n in counts.items()}
    place = tmp_path / "copy"
    place.mkdir()
    np.savez(place / "breastmnist_64.npz", **arrays)
    entry = yaml.safe_load((CATALOGUE / "medmnist.yaml").read_text())["breastmnist"]
    entry |= {"samples": counts, "data": "../copy", "overlaps": []}
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(yaml.safe_dump(entry))

    dataset = load_own(folder)
    findings = check_own(folder, tmp_path / "sheet.png")
    assert not [finding for finding in findings if finding.severity != "info"]
    assert (tmp_path / "sheet.png").is_file()
    assert listing([dataset], tmp_path)[1][0][6] == "yes"
    fetch(dataset, tmp_path / "raw", image_size=64)
    manifest = tmp_path / "raw" / "MANIFEST.json"
    (file,) = json.loads(manifest.read_text())["files"]
    assert (file["file"], file["origin"]) == ("breastmnist_64.npz", "folder")
    out = tmp_path / "x.arrow"
    raw = dataset.raw_folder(64)
    prepare(dataset, raw, out, image_size=64, splits=SPLITS, seed=0, manifest=manifest)
    assert sorted(ImageSet(out).column("split").to_pylist()) == sorted(
        split for split, n in counts.items() for _ in range(n)
    )
