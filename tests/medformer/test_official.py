"""Tables from the predictions that a training writes are what medmnist.evaluator says of them."""

import numpy as np
import pytest
from same_images import no_duplicates

from medtaskatlas.atlas.medformer.scores import medformer_scores
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.multitask import (
    read_multitask_predictions,
    statistics_of,
    write_multitask_predictions,
)
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.medformer.train import Job, train_arm
from medtaskatlas.problems.targets.label import Label

N = 80
CLASSES = [i % 3 for i in range(N)]
SETS = {
    "binary-class": {
        "label": [i % 2 for i in range(N)],
        "meta": {"labels": ["no", "yes"], "label_kind": "binary"},
    },
    "multi-class": {"label": CLASSES},
    "ordinal-regression": {"label": CLASSES, "meta": {"label_kind": "ordinal"}},
    "multi-label, binary-class": {
        "label": None,
        "labels": [(i % 2 == 0, i % 3 == 0, i % 7 < 3) for i in range(N)],
        "meta": {"findings": ["a", "b", "c"], "label_kind": "multi_label"},
    },
}


def trained(folder, path, target, model="pixels"):
    """Predictions of an arm."""
    options = Medformer(
        arms={"arm": {"model": model}}, steps=2, look_every=2, batch_size=8, stem_width=8
    )
    job = Job(options, "arm", {"shapes": [target]}, 1.0, 0, 0)
    train_arm(
        [path], folder / "model.safetensors", job=job, run="r", start=None,
        states=folder / "states", threads=1,
    )  # fmt: skip
    return folder / "predictions.parquet"


def table_of(folder, predictions):
    out = folder / "medformer_scores.parquet"
    medformer_scores([predictions], no_duplicates(folder), out, run="r", n_draws=50)
    table = read_table(out, "medformer_scores")
    return table[(table["split"] == "test") & table["seed"].isna()].set_index("score")


@pytest.mark.parametrize("task", SETS)
def test_scores_of_an_arm_are_the_official_ones(tmp_path, dataset, official, task):
    several = task.startswith("multi-label")
    path = dataset(n=N, groups=N, **SETS[task])
    target = "labels" if several else "label"
    predictions = trained(tmp_path, path, target, "medformer" if several else "pixels")
    rows, _ = read_multitask_predictions(predictions)
    test = rows[rows["split"] == "test"].set_index("image_id")
    # Images and truths as they stand in the prepared file.
    images = ImageSet(path)
    own = np.flatnonzero(images.numpy("split") == "test")
    ids = [images.column("image_id")[i].as_py() for i in own]
    truth = np.array([images.column(target)[i].as_py() for i in own])
    assert sorted(ids) == sorted(test.index)
    said = statistics_of(test.loc[ids])[:, : 3 if task != "binary-class" else 2]
    table = table_of(tmp_path, predictions)
    names = ["mean_auc", "mean_accuracy"] if several else ["macro_auc", "accuracy"]
    wanted = [f(truth.astype(int), said, task) for f in (official.getAUC, official.getACC)]
    assert table.loc[names, "estimate"].to_list() == pytest.approx(wanted, abs=1e-9)
    assert table.loc[names, "n_images"].to_list() == [len(own)] * 2


@pytest.mark.parametrize("kind", ["class", "labels"])
def test_an_area_is_null_where_no_test_image_has_a_class(tmp_path, dataset, kind):
    held = [i % 5 == 4 for i in range(N)]  # of the test split, see `annotated.CYCLE`
    if kind == "class":
        columns = {"label": [i % 2 if test else c for i, (c, test) in
                             enumerate(zip(CLASSES, held, strict=True))]}  # fmt: skip
        target, area, rest, name = "label", "macro_auc", ["accuracy", "balanced_accuracy"], "two"
    else:
        truth = [(i % 2 == 0, i % 3 == 0 and not t) for i, t in enumerate(held)]
        about = {"findings": ["a", "b"], "label_kind": "multi_label"}
        columns = {"label": None, "labels": truth, "meta": about}
        target, area, rest, name = "labels", "mean_auc", ["mean_accuracy"], "b"
    path = dataset(n=N, groups=N, **columns)
    model = "pixels" if kind == "class" else "medformer"
    table = table_of(tmp_path, trained(tmp_path, path, target, model))
    row = table.loc[area]
    assert np.isnan(row["estimate"])
    assert np.isnan(row["ci_low"])
    assert row["note"] == f"{area} of {target} is undefined: no image has {name} in shapes"
    assert table.loc[rest, "estimate"].notna().all()
    assert (table.loc[rest, "note"].str.contains("leaves out what no image has")).all()


def test_logits_in_the_place_of_probabilities_are_refused_in_training(
    tmp_path, dataset, monkeypatch
):
    monkeypatch.setattr(Label, "probabilities", lambda self, output: output)
    with pytest.raises(DataError, match=r"target label of the kind class has -.* for prob"):
        trained(tmp_path, dataset(n=N, groups=N), "label")


def test_logits_in_the_place_of_probabilities_are_refused_in_a_file(tmp_path, dataset):
    path = trained(tmp_path, dataset(n=N, groups=N), "label")
    rows, facts = read_multitask_predictions(path)
    probabilities = statistics_of(rows)
    probabilities[:, :-1] = np.log(probabilities[:, :-1])
    rows["statistics"] = list(probabilities)
    write_multitask_predictions(path, rows, facts)
    with pytest.raises(DataError, match=r"predictions.parquet: label has .* for probabilities"):
        table_of(tmp_path, path)
