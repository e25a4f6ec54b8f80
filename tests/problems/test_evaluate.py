"""Statistics of a network's outputs on a split."""

import numpy as np
import pandas as pd
import pytest
import torch

from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.multitask import (
    read_multitask_predictions,
    statistics_of,
    write_multitask_predictions,
)
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.evaluate import evaluate, primary_scores
from medtaskatlas.problems.problem import Problem
from medtaskatlas.problems.scores import SCORES, absent_classes
from medtaskatlas.problems.targets import load_kinds
from medtaskatlas.problems.targets.dose import dose_statistics

TARGETS = ("mask", "label", "map.dose", "value.area", "denoising_gaussian")


class Oracle:
    """Stands for a network: knows the truth of the batch that comes next."""

    def __init__(self, data, split, most=None):
        self.targets, self.batches = data.targets, data.evaluation(split, most=most)

    def __call__(self, images, rows):
        batch = next(self.batches)
        assert torch.equal(batch.images, images)
        return {name: self.output(name, truth) for name, truth in batch.truths.items()}

    def output(self, name, truth):
        channels = self.targets[name].channels
        match name:
            case "mask" | "label":
                one_hot = torch.nn.functional.one_hot(truth.long(), channels).float() * 20
                return one_hot.movedim(-1, 1)
            case "map.dose":
                return truth[:, :1] + 0.25
            case "value.area":
                return truth[:, None]
        return truth


def run(dataset, split="test"):
    path = dataset()
    problem = Problem("p", ("shapes",), TARGETS)
    data = ProblemData(problem, {"shapes": path}, load_kinds(), batch_size=5)
    data.open_test()
    return path, data, evaluate(data, split, Oracle(data, split))


def test_every_image_has_a_row_a_target_and_every_group_its_dose(dataset, tmp_path):
    path, data, rows = run(dataset)
    images = ImageSet(path)
    frame = pd.DataFrame(rows)
    of_images = frame[frame["image_id"].notna()]
    counts = of_images.groupby("target").size().to_dict()
    assert counts == {name: data.count("test", name) for name in TARGETS}
    common = {
        "beside": None,
        "run": "r",
        "problem": "p",
        "system": "s",
        "weighting": "equal",
        "seed": 0,
        "fold": -1,
    }
    write_multitask_predictions(tmp_path / "p.parquet", frame.assign(**common), {"a": 1})
    back, _ = read_multitask_predictions(tmp_path / "p.parquet")
    groups = back[back["statistics_kind"] == "dose"]
    assert set(groups["group_id"]) == {"group4", "group9", "group14", "group19"}
    assert groups["image_id"].isna().all()
    target = data.targets["map.dose"]
    for group, row in groups.set_index("group_id").iterrows():
        at = np.flatnonzero(images.column("group_id").to_numpy(zero_copy_only=False) == group)
        true, valid = (images.numpy(c)[at] for c in ("map.dose", "valid.dose"))
        width = target.high - target.low
        said = np.clip(true + 0.25 * width, target.low, target.high)
        expected = dose_statistics(
            said, true, valid > 0, images.masks[at], structures=target.structures, voxel_mm3=None
        )["dose"]
        np.testing.assert_allclose(row["statistics"], expected, rtol=1e-4)
    shares = statistics_of(of_images[of_images["target"] == "label"])
    assert absent_classes("class", shares) == [2]
    assert (shares[:, -1] != 2).all()


def test_the_truth_scores_one(dataset):
    _, _, rows = run(dataset, "val")
    scores = primary_scores(rows)
    assert list(scores) == list(TARGETS)
    for name in ("mask", "label", "value.area", "denoising_gaussian"):
        assert scores[name] > 0.999
    assert 0 < scores["map.dose"] < 0.7


def test_a_group_is_reduced_as_soon_as_the_next_one_begins(dataset, monkeypatch):
    path, data, _ = run(dataset)
    group_of = dict(
        zip(*(ImageSet(path).column(c).to_pylist() for c in ("image_id", "group_id")), strict=True)
    )
    oracle, seen, reduced = Oracle(data, "test"), [], []
    batches = list(data.evaluation("test"))
    made = type(data.targets["map.dose"]).group_statistics

    def forward(images, rows):
        # Of the batches before, the last group alone may still go on.
        assert len(reduced) >= len(dict.fromkeys(seen)) - 1
        batch = batches.pop(0)
        if "map.dose" in batch.rows:
            names = [batch.names[i].split("/")[1] for i in batch.rows["map.dose"].tolist()]
            seen.extend(group_of[name] for name in names)
        return oracle(images, rows)

    def statistics(self, output, *args):
        reduced.append(len(output))
        return made(self, output, *args)

    monkeypatch.setattr(type(data.targets["map.dose"]), "group_statistics", statistics)
    evaluate(data, "test", forward)
    assert not batches
    assert reduced == [seen.count(group) for group in dict.fromkeys(seen)]
    assert len(reduced) > 1


def test_groups_are_not_scored_by_some_of_their_slices(dataset):
    _, data, _ = run(dataset)
    some = evaluate(data, "test", Oracle(data, "test", 5), most=5)
    assert None not in some["image_id"]


def test_classes_that_no_truth_has_are_known():
    assert absent_classes("class", np.array([[0.5, 0.2, 0.3, 2.0]])) == [0, 1]
    assert absent_classes("segmentation", np.array([[0, 0, 4, 5, 3, 0]])) == [1]
    assert absent_classes("labels", np.array([[0.1, 0.9, 1, 0]])) == [1]
    assert absent_classes("objects", np.array([[0, 3, 0]])) == [0]
    assert absent_classes("value", np.array([[0, 3]])) == []
    one_class = np.array([[0.5, 0.5, 1.0]])
    assert np.isnan(SCORES["class"][0].compute(one_class)[0])


@pytest.mark.parametrize("system", ["hps", "mtan", "ctan"])
def test_networks_take_the_batches_and_targets_take_their_outputs(dataset, system):
    names = (*TARGETS, "objects", "plane")
    data = ProblemData(
        Problem("p", ("shapes",), names), {"shapes": dataset(n=20)}, load_kinds(), batch_size=8
    )
    options = SYSTEMS[system].options(width=4)
    network = SYSTEMS[system].network(
        list(data.targets.values()), options, 0, channels=data.channels
    )
    batch = data.batch(0)
    outputs = network(batch.images, batch.rows)
    losses = {n: data.targets[n].loss(o, batch.truths[n]) for n, o in outputs.items()}
    assert losses.keys() == set(names)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        assert primary_scores(evaluate(data, "val", network)).keys() == set(names)
