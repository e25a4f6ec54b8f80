"""Embedding files say the role of every pair, by what was kept out of training."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from generated import SPLITS, write_dataset
from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.embed import embed
from medtaskatlas.formats.embeddings import open_embedding, write_embeddings
from medtaskatlas.formats.pairs import SETS
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank

TASKS = ("rotation", "deblurring", "inversion")
DATASETS = ("known", "held", "untrained")
META = {"run": "r", "encoder": "pixels", "seed": 0, "trained_tasks": [], "trained_datasets": []}
HELD = {"heldout_datasets": ["held"], "heldout_tasks": ["rotation"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder, images files, and pair files by set; `untrained` has test groups alone."""
    folder = tmp_path_factory.mktemp("roles")
    images, paths = [], {name: [] for name in SETS}
    for seed, name in enumerate(DATASETS):
        split = {"split": ["test"] * 12} if name == "untrained" else {}
        path = write_dataset(folder / "images" / f"{name}.arrow", seed=seed, more=split)
        images.append(path)
        for task in TASKS:
            outs = {s: folder / s / task / path.name for s in SETS}
            amounts = Amounts(20, failures=16, trajectories=3, levels=11)
            make_sets(
                path, load_bank()[task], outs,
                amounts=amounts, splits=SPLITS, heldout=name == "held", seed=0,
            )  # fmt: skip
            for set_name, out in outs.items():
                if out.exists():
                    paths[set_name].append(out)
    return folder, images, paths


def embedded(files, set_name, **held):
    """The pairs of a set in an embedding file of `pixels`."""
    folder, images, paths = files
    out = folder / f"{set_name}.parquet"
    encoder = {"kind": "pixels"}
    embed(paths[set_name], images, out, encoder=encoder, model=None, threads=1, meta=META, **held)
    return open_embedding(out).frame


@pytest.mark.parametrize("held", [{}, HELD], ids=["nothing", "something"])
def test_roles_are_those_that_the_atlas_told_from_the_main_pairs(files, held) -> None:
    """As the tables derived them, each for itself, before embedding files had them."""
    frame = embedded(files, "main", **held)
    train, test = frame["split"] == "train", frame["split"] == "test"
    inside = frame["dataset"].isin(
        set(frame["dataset"][train]) - {*held.get("heldout_datasets", ())}
    )
    gallery = inside & train & ~frame["task"].isin(held.get("heldout_tasks", ()))
    known = frame["task"].isin(set(frame["task"][gallery]))
    asked = ~inside | test
    wanted = np.select(
        [gallery, asked & ~known, asked & inside, asked, frame["split"] == "val"],
        ["gallery", "tasks", "groups", "datasets", "val"],
        "none",
    )
    assert (frame["role"] == wanted).all()
    assert set(wanted) >= {"gallery", "groups", "datasets", "val"}
    trained_on = set(frame["dataset"][inside])
    for name in ("failure", "trajectory"):
        other = embedded(files, name, **held)
        inside = other["dataset"].isin(trained_on)
        query_set = np.select([~inside, other["split"] == "test"], ["datasets", "groups"], "none")
        assert (other["role"].replace("val", "none") == query_set).all()
        assert (other["role"] == "val").equals(inside & (other["split"] == "val"))


def test_what_was_trained_on_cannot_be_held_out(files) -> None:
    folder, images, paths = files
    meta = META | {"trained_datasets": ["held", "known"], "trained_tasks": ["rotation"]}
    with pytest.raises(DataError, match=r"trained on held, rotation(.|\n)*train it again"):
        embed(
            paths["main"], images, folder / "no.parquet",
            encoder={"kind": "pixels"}, model=None, threads=1, meta=meta, **HELD,
        )  # fmt: skip
    assert not (folder / "no.parquet").exists()


def test_an_old_file_says_what_it_lacks_and_what_to_do(files) -> None:
    folder = files[0]
    embedded(files, "main")
    old = pq.read_table(folder / "main.parquet").drop_columns(["subject_id", "role"])
    pairs = old.drop_columns(["encoder", "seed", "embedding"])
    write_embeddings(folder / "old.parquet", pairs, np.ones((len(pairs), 2), np.float32), META)
    with pytest.raises(DataError, match=r"lacks subject_id, role(.|\n)*delete .*old.parquet and"):
        open_embedding(folder / "old.parquet")
