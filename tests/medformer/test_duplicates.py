"""Images that are the same to the pixel: counted, and scores without them."""

import json

import numpy as np
import pytest
from annotated import drawn
from cubes import write_cubes
from sklearn.metrics import accuracy_score

from medtaskatlas.atlas.medformer.duplicates import medformer_duplicates
from medtaskatlas.atlas.medformer.scores import medformer_scores
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.formats.multitask import read_multitask_predictions, statistics_of
from medtaskatlas.formats.volumes import VolumeSet, write_volumes
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.medformer.train import Job, train_arm

# Image and whose copy it is. Of five, 0, 1 and 3 are trained on, 2 is for choices, 4 is tested.
COPIES = {
    5: 0,  # train, the same label
    6: 1,  # train, another label
    9: 3,  # test of train, the same label
    14: 10,  # test of train, another label
    29: 10,
    19: 2,  # test of validation, another label
    24: 4,  # test of test, the same label
    34: 4,
    12: 11,  # validation of train, another label
}
N = 40
LABEL = [i % 2 for i in range(N)]
LABEL[14] = LABEL[29] = 1
for copy in (5, 9, 24, 34):
    LABEL[copy] = LABEL[COPIES[copy]]
BINARY = {"labels": ["no", "yes"], "label_kind": "binary"}


def pictures():
    image = np.stack([drawn(i, 32, False)[0] for i in range(N)])
    for copy, of in COPIES.items():
        image[copy] = image[of]
    # Nearly the same is not the same.
    image[22] = image[20]
    image[22, -1, -1, -1] ^= 1
    return image


@pytest.fixture
def path(dataset):
    """A set of pictures with planted copies."""
    return dataset(n=N, groups=N, image=pictures(), label=LABEL, meta=BINARY)


def counted(folder, *paths):
    out = folder / "medformer_duplicates.parquet"
    medformer_duplicates(paths, out, run="r")
    return out, read_table(out, "medformer_duplicates").set_index("set")


COUNTS = {"within_split": 4, "across_splits": 4, "other_labels": 4, "n_left_out": 4, "dropped": 0}


def test_copies_are_counted_within_and_across_splits(tmp_path, path, dataset):
    _, table = counted(tmp_path, path, dataset("plain"))
    own = table.loc["shapes"]
    assert own[list(COUNTS)].to_dict() == COUNTS
    assert own[["n_train", "n_val", "n_test"]].to_list() == [24, 8, 8]
    assert json.loads(own["left_out"]) == ["image14", "image19", "image29", "image9"]
    assert not table.loc["plain", list(COUNTS)].any()


def test_copies_of_volumes_are_counted(tmp_path):
    cubes = VolumeSet(write_cubes(tmp_path / "whole.arrow"))
    voxels = cubes.volumes.copy()
    voxels[8] = voxels[0]  # of the test, of training
    columns = {name: cubes.numpy(name) for name in cubes.columns} | {"volume": voxels}
    columns |= {n: cubes.column(n).to_pylist() for n in cubes.columns if n != "volume"}
    path = tmp_path / "cubes.arrow"
    write_volumes(path, columns, {k: v for k, v in cubes.meta.items() if k != "content_sha256"})
    _, table = counted(tmp_path, path)
    assert json.loads(table.loc["cubes", "left_out"]) == ["v8"]
    assert table.loc["cubes", "across_splits"] == 1


def test_labels_are_compared_where_an_image_has_several(tmp_path, dataset):
    truth = [(i % 2 == 0, i in (5, 6)) for i in range(N)]
    meta = {"findings": ["a", "b"], "label_kind": "multi_label"}
    path = dataset(n=N, groups=N, image=pictures(), label=None, labels=truth, meta=meta)
    _, table = counted(tmp_path, path)
    assert table.loc["shapes", "other_labels"] == 5  # those of 0, 1, 2, 10 and 11


def test_what_preparation_dropped_is_told(tmp_path, dataset):
    said = {"excluded": {"identical to another image after preparation": 2}}
    _, table = counted(tmp_path, dataset(meta={"quality": said}))
    assert table.loc["shapes", "dropped"] == 2


def test_scores_of_an_arm_stand_with_and_without_copies(tmp_path, path):
    options = Medformer(arms={"pixels": {"model": "pixels"}})
    job = Job(options, "pixels", {"shapes": ["label"]}, 1.0, 0, 0)
    train_arm(
        [path], tmp_path / "model.safetensors", job=job, run="r", start=None,
        states=tmp_path / "states", threads=1,
    )  # fmt: skip
    predictions = tmp_path / "predictions.parquet"
    told, _ = counted(tmp_path, path)
    out = tmp_path / "medformer_scores.parquet"
    medformer_scores([predictions], told, out, run="r", n_draws=20)
    table = read_table(out, "medformer_scores")
    assert set(table.loc[table["split"] == "val", "duplicates"]) == {"kept"}
    own = table[(table["split"] == "test") & table["seed"].isna() & (table["score"] == "accuracy")]
    own = own.set_index("duplicates")
    rows, _ = read_multitask_predictions(predictions)
    rows = rows[rows["split"] == "test"]
    others = rows[~rows["image_id"].isin(["image9", "image14", "image29", "image19"])]
    assert len(others) == 4
    for which, some in {"kept": rows, "left_out": others}.items():
        said = statistics_of(some)
        wanted = accuracy_score(said[:, -1], said[:, :-1].argmax(axis=1))
        assert own.loc[which, "estimate"] == pytest.approx(wanted)
        assert own.loc[which, "n_images"] == len(some)
