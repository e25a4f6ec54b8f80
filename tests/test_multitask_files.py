"""Files of multi-task trainings: what is written is read, and bad files are named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask_examples import example_images, read_examples, write_examples
from medtaskatlas.formats.multitask_training import (
    read_cost,
    read_history,
    read_trials,
    write_cost,
    write_history,
    write_trials,
)


def test_examples_are_the_same_whatever_the_order_and_are_not_the_first_ones():
    images = [("d", f"i{i:03}") for i in range(100)]
    chosen = example_images("p", images, 4)
    assert chosen == example_images("p", images[::-1] + images, 4)
    assert chosen != images[:4]
    assert chosen != example_images("other", images, 4)
    assert set(chosen) <= set(images)
    # One image less changes no other's place.
    assert example_images("p", set(images) - {chosen[0]}, 3) == chosen[1:]


def test_examples_of_every_layout_come_back(tmp_path):
    image = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    truths = {
        "mask": image % 3,
        "denoising": np.stack([image] * 3, axis=-1).astype(np.float16),
        "value.age": np.array([[40], [np.nan]], np.float16),
    }
    outputs = {name: truth + truth.dtype.type(1) for name, truth in truths.items()}
    facts = {"problem": "p", "system": "s", "seed": 0, "targets": {t: {} for t in truths}}
    images = {"dataset": ["d", "d"], "image_id": ["a", "b"], "image": image}
    write_examples(tmp_path / "e.arrow", images, truths, outputs, facts)
    file = read_examples(tmp_path / "e.arrow")
    assert file.meta == facts
    for name, truth in truths.items():
        np.testing.assert_array_equal(file.numpy(f"truth.{name}"), truth)
        np.testing.assert_array_equal(file.numpy(f"output.{name}"), outputs[name])
    with pytest.raises(ValueError, match="of the same targets"):
        write_examples(tmp_path / "f.arrow", images, truths, {}, facts)
    with pytest.raises(ValueError, match="of mask"):
        write_examples(tmp_path / "f.arrow", images, truths, outputs | {"mask": image[:1]}, facts)


def test_cost_and_trials_come_back_and_bad_files_are_named(tmp_path):
    cost = {"total": {"steps": 3}, "trainings": [{"targets": ["a"], "fold": -1, "steps": 3}]}
    write_cost(tmp_path / "cost.json", tuning={"steps": 9}, **cost)
    assert read_cost(tmp_path / "cost.json") == {**cost, "tuning": {"steps": 9}}
    write_cost(tmp_path / "cost.json", tuning={}, pretraining={"steps": 7}, **cost)
    assert read_cost(tmp_path / "cost.json")["pretraining"] == {"steps": 7}
    trial = {"targets": ["a"], "fold": -1, "learning_rate": 0.1, "weights": None}
    trial |= {"scores": {"a": 0.5}, "chosen": True}
    write_trials(tmp_path / "trials.json", [trial])
    assert read_trials(tmp_path / "trials.json") == [trial]
    for read, name in ((read_cost, "cost.json"), (read_trials, "trials.json")):
        for text, words in (("{", "is damaged"), ('[{"a": 1}]', "holds no")):
            (tmp_path / name).write_text(text)
            with pytest.raises(DataError, match=rf"{name} {words}"):
                read(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(DataError, match=rf"{name} is missing"):
            read(tmp_path / name)


def test_a_history_tells_the_loss_of_every_target(tmp_path):
    one = pa.table({"step": [0, 1], "loss": [3.0, 2.0], "val_score": [None, 0.5]})
    both = pa.table(
        {"step": [0, 1], "loss": [5.0, 4.0], "loss.a": [1.0, np.nan], "loss.b": [4.0, 4.0]}
    )
    path = tmp_path / "history.parquet"
    write_history(path, [(["a"], 0, one), (["a"], 1, one), (["a", "b"], 0, both)], {"system": "s"})
    found = read_history(path)
    told = found.groupby(["target", "fold"])["loss"].agg(list).to_dict()
    assert told == {("a", 0): [3, 2, 1], ("a", 1): [3, 2], ("b", 0): [4, 4]}
    pd.DataFrame({"step": [0]}).to_parquet(path)
    with pytest.raises(DataError, match="holds no history"):
        read_history(path)
