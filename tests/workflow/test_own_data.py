"""A folder of one's own, and a published set from a mirror, through the workflow."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import yaml

from folders import describe, table, write
from generated import make_sample
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.formats.images import ImageSet
from runs import files, snakemake

pytestmark = pytest.mark.system

MIRROR = REPOSITORY.parent / "shared" / "mirror"
TASKS = ["segmentation", "detection", "classification", "deblurring", "inversion"]


def own_dataset(folder, name, n=12):
    """A folder dataset as the tutorial tells to make one: pictures, masks, labels, boxes."""
    labels, boxes = ["image,label"], ["image,x0,y0,x1,y1,label"]
    for i in range(n):
        file = f"case {i:02d} ü.png"
        picture(folder, file, 100 * len(name) + (name == "hand_two") * 50 + i)
        labels.append(f"{file},{'odd' if i % 2 else 'even'}")
        boxes.append(f"{file},10,10,40,40,thing")
    table(folder, "labels.csv", *labels)
    table(folder, "boxes.csv", *boxes)
    annotation = {"masks": "masks", "labels": "labels.csv", "boxes": "boxes.csv"}
    describe(folder, name=name, modality="CT", classes={1: "one", 2: "two"}, **annotation)


def picture(folder, file, seed):
    """An image and its mask."""
    sample = make_sample(80, seed=seed)
    write(folder / "images" / file, sample.image)
    write(folder / "masks" / file, sample.mask)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder with a finished run over two datasets of one's own."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("hand_one", "hand_two"):
        own_dataset(folder / "mine" / name, name)
    (folder / "mine" / "notes").mkdir()
    config = yaml.safe_load((REPOSITORY / "config" / "folder.yaml").read_text())
    config |= {
        "tasks": TASKS,
        "image_size": 32,
        "pairs_per_cell": 10,
        "encoders": {"pixels": {}},
        "unseen_tasks": None,
        "scaling": None,
        "heldout": {"datasets": ["hand_two"]},
    }
    path = folder / "folder.yaml"
    path.write_text(yaml.safe_dump(config))
    arguments = ("--cores", "2", "tables", "--config", "datasets_dir=mine")
    done = snakemake(folder, *arguments, config=path)
    return folder, partial(snakemake, folder, *arguments, config=path), done


def test_data_made_by_hand_appear_in_the_atlas(run):
    folder, _, done = run
    assert "mine/notes is no dataset" in done.stderr
    sets = read_table(folder / "results/folder/tables/datasets.parquet", "datasets")
    assert sets.set_index("dataset")["n_images"].to_dict() == {"hand_one": 12, "hand_two": 12}
    grid = read_table(folder / "results/folder/tables/task_grid.parquet", "task_grid")
    assert grid["applicable"].all()
    assert set(grid["task"]) == set(TASKS)
    measured = read_table(folder / "results/folder/tables/identification.parquet", "identification")
    assert set(measured["split"]) == {"groups", "datasets"}


def test_a_folder_spelled_otherwise_runs_nothing_anew(run):
    folder, again, _ = run
    (folder / "link").symlink_to("mine")
    for spelled in (folder / "mine", "link", "./mine/"):
        arguments = ("--cores", "2", "tables", "--config", f"datasets_dir={spelled}")
        assert "Nothing to be done" in snakemake(folder, *arguments, **again.keywords).stderr


def test_again_does_nothing_and_a_new_picture_is_noticed(run):
    folder, again, _ = run
    assert "Nothing to be done" in again().stderr
    before = files(folder, "results/folder/images/hand_two.arrow")
    images = folder / "mine" / "hand_one"
    picture(images, "new.png", 5000)
    for name, line in (("labels.csv", "new.png,odd"), ("boxes.csv", "new.png,1,1,9,9,thing")):
        with (images / name).open("a") as handle:
            handle.write(line + "\n")
    again()
    assert len(ImageSet(folder / "results/folder/images/hand_one.arrow")) == 13
    assert files(folder, "results/folder/images/hand_two.arrow") == before


def test_a_mistake_stops_the_run_before_it_begins(run):
    folder, again, _ = run
    path = folder / "mine" / "hand_one" / "dataset.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("modality: CT", "modality: MRI"))
    try:
        done = again(check=False)
    finally:
        path.write_text(whole)
    assert done.returncode
    assert "hand_one/dataset.yaml" in done.stderr
    assert "modality" in done.stderr
    assert "'MRI'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no ../shared/mirror with official MedMNIST files")
def test_published_sets_from_a_mirror(tmp_path):
    """Over HTTP from this machine, with the hashes of the catalogue; 28 px is the nearest size."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(MIRROR)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load((REPOSITORY / "config" / "smoke.yaml").read_text())
    config |= {
        "datasets": ["retinamnist", "adrenalmnist3d"],
        "heldout": {},
        "image_size": 28,
        "images_per_dataset": 400,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    try:
        mirror = f"mirror=http://127.0.0.1:{server.server_port}"
        options = ("--cores", "2", "images", "--config", mirror)
        snakemake(tmp_path, *options, config=tmp_path / "run.yaml")
    finally:
        server.shutdown()
        server.server_close()
    images = ImageSet(tmp_path / "results/smoke/images/retinamnist.arrow")
    assert len(images) == 400
    assert set(images.numpy("split")) == {"train", "val", "test"}
    assert len(np.unique(images.numpy("label"))) == 5
    volumes = ImageSet(tmp_path / "results/smoke/images/adrenalmnist3d.arrow")
    assert volumes.meta["quality"]["found"] == 1584 * 28
    assert (tmp_path / "data/medmnist/adrenalmnist3d/28/MANIFEST.json").is_file()
