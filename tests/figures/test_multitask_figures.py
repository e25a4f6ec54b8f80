"""Figures of multi-task systems: every system and target is there; nothing to draw is told."""

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.core.errors import DataError
from medtaskatlas.figures.multitask.affinity import affinity
from medtaskatlas.figures.multitask.cost import multitask_cost
from medtaskatlas.figures.multitask.gains import multitask_gains
from medtaskatlas.figures.multitask.learning import multitask_learning
from medtaskatlas.figures.multitask.pictures import multitask_pictures, verdict
from medtaskatlas.figures.multitask.tradeoff import front, multitask_tradeoff
from medtaskatlas.formats.multitask_examples import NO_CLASS, write_examples
from medtaskatlas.formats.multitask_training import write_history, write_trials

SYSTEMS = ("stl", "stl_wide", "hps_tuned", "ctan", "pcgrad")
TARGETS = {"mask": "dice", "label": "balanced_accuracy", "denoising": "ssim"}
N = {"n_images": 120, "n_groups": 60, "n_subjects": 60, "n_datasets": 1}


def saved(folder, name, rows):
    path = folder / f"{name}.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def number(rng, middle=0.0, spread=0.05):
    x = middle + spread * rng.normal()
    return {"estimate": x, "ci_low": x - spread, "ci_high": x + spread}


def gains(folder):
    rng = np.random.default_rng(0)
    rows = [
        {"problem": problem, "scope": scope, "system": system, "reference_kind": kind,
         "measure": measure, "target": target, "score": TARGETS.get(target), **number(rng), **N}
        for problem, scope in (("lungs", "problem"), ("blood_cells", "problem"),
                               ("all", "problems"))
        for system in SYSTEMS[1:]
        for kind in ("stl", "stl_wide", "hps", "control")
        for measure, target in [("delta_m", "all"), *(("relative_change", t) for t in TARGETS)]
        if problem != "all" or target == "all"
        if kind != "control" or system == "ctan"
    ]  # fmt: skip
    # A system without an interval, and one without a number.
    rows[0] |= {"ci_low": np.nan, "ci_high": np.nan}
    rows[1] |= {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan}
    return saved(folder, "multitask_gains", rows)


def costs(folder):
    rows = [
        {"problem": problem, "system": system, "seed": None, "part": "training",
         "measure": "cpu_seconds", "estimate": 100.0, "relative_to_stl": 0.3 + 0.4 * i}
        for problem in ("lungs", "blood_cells") for i, system in enumerate(SYSTEMS)
    ]  # fmt: skip
    return saved(folder, "multitask_cost", rows)


def scores(folder):
    rng = np.random.default_rng(1)
    rows = [
        {"problem": "lungs", "system": system, "seed": None, "split": split, "beside": None,
         "target": target, "score": score, "primary": True, "higher_is_better": True,
         **number(rng, 0.7)}
        for system in SYSTEMS for target, score in TARGETS.items() for split in ("val", "test")
    ]  # fmt: skip
    return saved(folder, "multitask_scores", rows)


def trials(folder):
    rng, paths = np.random.default_rng(2), []
    weighted = [dict.fromkeys(TARGETS, weight) for weight in (0.1, 0.3, 0.6)]
    for system, settings in (("hps_tuned", weighted), ("ctan", [None])):
        path = folder / "multitask" / "lungs" / system / "trials.json"
        path.parent.mkdir(parents=True)
        grid = [
            {"targets": list(TARGETS), "fold": fold, "learning_rate": rate, "chosen": False,
             "weights": weights, "scores": {t: 0.7 + 0.03 * rng.normal() for t in TARGETS}}
            for rate in (1e-3, 3e-3)
            for fold in (0, 1)
            for weights in settings
        ]  # fmt: skip
        grid[0]["scores"]["mask"] = None
        write_trials(path, grid)
        paths.append(path)
    return paths


def histories(folder):
    paths = []
    steps = pa.array(range(200), pa.int32())
    fall = 1 / np.arange(1, 201) + 0.1
    for system in ("stl", "ctan"):
        path = folder / "multitask" / "lungs" / system / "seed0" / "history.parquet"
        if system == "stl":
            table = pa.table({"step": steps, "loss": fall})
            trainings = [([target], -1, table) for target in TARGETS]
        else:
            parts = {f"loss.{target}": 0.5 * fall for target in TARGETS}
            parts["loss.label"] = np.where(np.arange(200) % 2, np.nan, 0.5 * fall)
            trainings = [(list(TARGETS), -1, pa.table({"step": steps, "loss": fall} | parts))]
        write_history(path, trainings, {"system": system})
        paths.append(path)
    return paths


def pairs(folder):
    rng = np.random.default_rng(3)
    rows = [
        {"problem": "lungs", "system": "pairs", "seed": None, "measure": "relative_change",
         "target": a, "beside": b, **number(rng), **N}
        for a in TARGETS for b in TARGETS if a != b
    ]  # fmt: skip
    return saved(folder, "affinity", rows)


FACTS = {
    "mask": {"kind": "segmentation", "classes": ["lung"]},
    "map.dose": {"kind": "map", "unit": "Gy", "low": 0.0, "high": 70.0},
    "label": {"kind": "class", "classes": ["healthy", "tuberculosis"]},
    "denoising": {"kind": "picture"},
}


def example_file(folder, system, seed=0, names=("a", "b", "c", "d"), problem="lungs"):
    rng = np.random.default_rng([seed, len(system)])
    k, side = len(names), 32
    image = np.repeat(np.linspace(0, 255, side)[None, None], side, axis=1).astype(np.uint8)
    image = np.repeat(image, k, axis=0)
    mask = np.zeros((k, side, side), np.uint8)
    mask[:, 8:24, 8:24] = 1
    mask[1] = NO_CLASS
    dose = np.full((k, side, side), 30.0, np.float16)
    label = np.eye(2, dtype=np.float16)[[0, 1] * (k // 2)]
    picture = (image / 255).astype(np.float16)
    truths = {"mask": mask, "map.dose": dose, "label": label, "denoising": picture}
    outputs = {
        "mask": np.where(mask == NO_CLASS, 0, mask).astype(np.uint8),
        "map.dose": (dose + 5 * rng.normal(size=dose.shape)).astype(np.float16),
        "label": label[::-1].copy(),
        "denoising": (picture * 0.9).astype(np.float16),
    }
    images = {"dataset": ["d"] * k, "image_id": list(names), "image": image,
              "input.denoising": 255 - image}  # fmt: skip
    path = folder / problem / system / f"seed{seed}" / "examples.arrow"
    facts = {"problem": problem, "system": system, "seed": seed, "targets": FACTS}
    write_examples(path, images, truths, outputs, facts)
    return path


def test_gains_name_every_system_reference_and_target(tmp_path):
    path = gains(tmp_path)
    words = [
        *SYSTEMS[1:], "lungs", "blood cells", "mean over problems", "delta-m against",
        "mask (dice)", "120 test images of 60 subjects", "hard sharing, tuned fixed weights",
    ]  # fmt: skip
    text_of(lambda svg, png: multitask_gains(path, svg, png), tmp_path, words)
    refuses_a_bad_table(
        lambda svg, png: multitask_gains(tmp_path / "x.parquet", svg, png), tmp_path / "x.parquet"
    )


def test_cost_is_drawn_beside_gain_for_every_system(tmp_path):
    files = costs(tmp_path), gains(tmp_path)
    words = [*SYSTEMS[1:], "lungs", "blood cells", "delta-m, %", "CPU seconds"]
    text_of(lambda svg, png: multitask_cost(*files, svg, png), tmp_path, words)


def test_the_front_has_every_system_and_pair_of_targets(tmp_path):
    files = scores(tmp_path), trials(tmp_path)
    words = [*SYSTEMS, "mask: dice (validation)", "6 trials of fixed weights; 5 systems"]
    text = text_of(lambda svg, png: multitask_tradeoff(*files, svg, png), tmp_path, words)
    assert text.count("6 trials of fixed weights") == 3


def test_a_front_is_what_no_other_point_beats():
    points = np.array([[1, 1], [2, 3], [3, 2], [0, 4], [2, 2.5], [3, 2]], float)
    up = np.array([True, True])
    np.testing.assert_array_equal(front(points, up), [[0, 4], [2, 3], [3, 2]])
    np.testing.assert_array_equal(front(points, ~up), [[0, 4], [1, 1]])


def test_learning_curves_are_of_every_target(tmp_path):
    paths = histories(tmp_path)
    words = ["lungs: mask", "lungs: label", "lungs: denoising", "stl", "ctan", "training loss"]
    text_of(lambda svg, png: multitask_learning(paths, svg, png), tmp_path, words)


def test_affinity_has_a_cell_for_every_ordered_pair(tmp_path):
    path = pairs(tmp_path)
    text = text_of(lambda svg, png: affinity(path, svg, png), tmp_path, [*TARGETS, "lungs"])
    rows = pd.read_parquet(path)
    for row in rows.to_dict("records"):
        star = "*" if row["ci_low"] * row["ci_high"] > 0 else ""
        assert f"{100 * row['estimate']:+.1f}{star} " in text


def test_pictures_show_every_system_on_the_same_images(tmp_path):
    paths = [example_file(tmp_path, system, seed) for system in SYSTEMS for seed in (0, 1)]
    paths += [example_file(tmp_path, "stl", problem="blood_cells")]
    # Names are broken at their first underscore, each part a comment of its own or a line of one.
    parts = [part for system in SYSTEMS for part in system.split("_", 1)]
    words = [*parts, "input", "truth", "mask", "map.dose", "tuberculosis", "healthy", "lungs",
             "blood cells", "none", "seed 0; images chosen by hash"]  # fmt: skip
    text_of(lambda svg, png: multitask_pictures(paths, svg, png), tmp_path, words)
    other = example_file(tmp_path, "zeta", names=("a", "b", "c", "z"))
    with pytest.raises(DataError, match=r"zeta.*shows other images than"):
        multitask_pictures([*paths, other], tmp_path / "a.svg", tmp_path / "a.png")


@pytest.mark.parametrize(
    ("facts", "values", "words"),
    [
        (FACTS["label"], [0.2, 0.8], "tuberculosis"),
        ({"kind": "labels", "classes": ["a", "b", "c"]}, [0.9, 0.1, 0.6], "a, c"),
        ({"kind": "labels", "classes": ["a"]}, [0.5], "none"),
        ({"kind": "value", "unit": "mm"}, [12.345], "12.3 mm"),
    ],
)
def test_numbers_of_a_target_in_words(facts, values, words):
    assert verdict(facts, np.array(values)) == words


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda f, *out: multitask_gains(saved(f, "g", gains_of_none()), *out), "no system can be"),
        (lambda f, *out: multitask_learning([], *out), "nothing was trained"),
        (lambda f, *out: multitask_pictures([], *out), "no examples"),
        (lambda f, *out: affinity(saved(f, "a", affinity_of_none()), *out), "no pairs"),
    ],
)
def test_a_figure_without_content_says_so(tmp_path, draw, told):
    draw(tmp_path, tmp_path / "a.svg", tmp_path / "a.png")
    assert told in (tmp_path / "a.svg").read_text()
    assert cv2.imread(str(tmp_path / "a.png")).std() > 1


def gains_of_none():
    return [{"estimate": np.nan, "reference_kind": "stl", "scope": "problem"}]


def affinity_of_none():
    return [{"seed": None, "measure": "change", "estimate": np.nan}]
