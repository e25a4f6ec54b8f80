"""The figures of the studies: every task and every amount is there; nothing is said so."""

import cv2
import numpy as np
import pandas as pd
import pytest

from medtaskatlas.figures import style
from medtaskatlas.figures.scaling import scaling
from medtaskatlas.figures.unseen_tasks import unseen_tasks

FAMILIES = {"boundary": "semantic", "deblurring": "generative", "shear": "transformation"}


@pytest.fixture
def texts(monkeypatch):
    """Texts of the figures that are saved."""
    found = []

    def keep(figure, svg, png):
        found.extend(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))
        for path in (svg, png):
            figure.savefig(path)

    monkeypatch.setattr(style, "save", keep)
    return found


def unseen(tmp_path, **changes):
    common = {"encoder": "taco", "n_pairs": 60, "n_groups": 7, "n_tasks": 1, **changes}
    rows = [
        {
            **common, "split": split, "measure": "family_accuracy", "level": "task", "name": task,
            "family": family, "placed_family": "semantic", "nearest_task": "some_kin",
            "estimate": 0.5, "ci_low": np.nan, "ci_high": np.nan,
        }
        for split in ("groups", "datasets")
        for task, family in FAMILIES.items()
    ]  # fmt: skip
    rows.append({**common, "split": "groups", "measure": "tasks_placed", "level": "overall",
                 "name": "all", "estimate": 1.0, "n_tasks": 3})  # fmt: skip
    path = tmp_path / "unseen_tasks.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_unseen_tasks_names_each_task_and_its_kin(tmp_path, texts):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    unseen_tasks(unseen(tmp_path), svg, png, encoder="taco")
    assert {*FAMILIES} <= set(texts)
    assert texts.count("some kin") == 6
    assert any(text.startswith("1 of 3 in their own family") for text in texts)
    assert cv2.imread(str(png)).std() > 5


def test_unseen_tasks_of_no_encoder_says_so(tmp_path, texts):
    out = tmp_path / "a.svg", tmp_path / "a.png"
    unseen_tasks(unseen(tmp_path), *out, encoder="other")
    assert any("no task was held out of a training of other" in text for text in texts)


def scaling_table(tmp_path, axes=("pairs", "datasets", "all")):
    sizes = {"pairs": (8, 400), "datasets": (2, 900), "all": (8, 3600)}
    rows = [
        {
            "axis": axis, "split": split, "measure": "balanced_accuracy", "steps": 50,
            "train_datasets": sizes[axis][0], "train_pairs": sizes[axis][1], "estimate": 0.6,
            "ci_low": 0.5 if split == "groups" else np.nan,
            "ci_high": 0.7 if split == "groups" else np.nan,
            "n_pairs": 60, "n_groups": 7, "n_datasets": 2,
        }
        for axis in axes
        for split in ("groups", "datasets")
    ]  # fmt: skip
    rows += [
        {"axis": "pairs", "split": "groups", "measure": "gain_per_doubling", "estimate": 0.031}
    ]
    path = tmp_path / "scaling.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_scaling_shows_amounts_and_gain(tmp_path, texts):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    scaling(scaling_table(tmp_path), svg, png)
    assert {"400", "3,600", "2", "8"} <= set(texts)
    assert "held-out groups (+3.1 points a doubling)" in texts
    assert cv2.imread(str(png)).std() > 5


def test_scaling_of_nothing_says_so(tmp_path, texts):
    scaling(scaling_table(tmp_path, ("all",)), tmp_path / "a.svg", tmp_path / "a.png")
    assert any("nothing was trained on less data" in text for text in texts)
