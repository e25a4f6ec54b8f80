"""Problems: found before there are images, checked, and folded."""

import numpy as np
import pytest

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.multitask.options import Multitask
from medtaskatlas.multitask.problems import auto_targets, find_problems
from medtaskatlas.problems.annotations import Annotations, annotations_in
from medtaskatlas.problems.problem import (
    COMPANION,
    Problem,
    assign_folds,
    check_targets,
    offers_of,
    splits_of_fold,
)
from medtaskatlas.problems.targets import load_kinds

KINDS = load_kinds()
CATALOGUE = load_catalogue()


def section(problems="auto", **keys):
    return Multitask.model_validate({"systems": {"hps": {}}, "problems": problems, **keys})


def found(targets, datasets=("mni152_tissue",), **keys):
    problems = {"p": {"datasets": list(datasets), "targets": list(targets), **keys}}
    return find_problems(section(problems), CATALOGUE)["p"]


def test_auto_takes_what_is_annotated_and_a_companion_for_a_single_target():
    names = ["mni152_tissue", "retinamnist", "chestmnist", "fundus_retina", "us_stills"]
    problems = find_problems(section(folds=5), {name: CATALOGUE[name] for name in names})
    assert {name: p.targets for name, p in problems.items()} == {
        "mni152_tissue": ("plane", "mask", "value.position"),
        "retinamnist": ("label", COMPANION),
        "chestmnist": ("labels", COMPANION),
        "fundus_retina": ("mask", COMPANION),
    }
    assert offers_of(_of("retinamnist"), KINDS)["label"].kind == "ordinal"
    assert {p.folds for p in problems.values()} == {5}
    with pytest.raises(ConfigError, match="no dataset of the run has a mask"):
        find_problems(section(), {"us_stills": CATALOGUE["us_stills"]})


def _of(name):
    from medtaskatlas.problems.annotations import annotations_of

    return annotations_of(CATALOGUE[name])


def test_what_an_entry_offers_its_file_offers(dataset):
    """Targets known before the images are those found in them."""
    path = dataset()
    file = annotations_in(ImageSet(path))
    offered = {o.target for o in offers_of(file, KINDS).values()}
    assert {"mask", "label", "map.dose", "value.area", "objects", "plane"} <= offered
    # A quantity that no image has, has no column, and is not offered.
    bare = annotations_in(ImageSet(dataset("bare", **{"map.dose": None, "valid.dose": None})))
    assert "map.dose" not in offers_of(bare, KINDS)


def test_a_problem_is_its_facts():
    problem = found(["mask", "rotation"], folds=4)
    assert problem == Problem("p", ("mni152_tissue",), ("mask", "rotation"), 4)
    assert Problem.from_facts(problem.facts()) == problem


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": ["mask"]}, "is one target alone"),
        ({"targets": ["mask", "label"]}, "mni152_tissue has no target 'label'"),
        ({"targets": ["mask", "masks"]}, "did you mean mask"),
        ({"targets": ["mask", "colorization"]}, "has no target 'colorization'"),
        ({"targets": ["mask", "plane"], "datasets": ["mni152_tissues"]}, "mean mni152_tissue"),
        (
            {"targets": ["mask", "plane"], "datasets": ["mni152_tissue", "mni152_regions"]},
            "'mask' is not the same in mni152_tissue .grey matter, white matter. and",
        ),
        (
            {
                "targets": ["plane", "value.position"],
                "datasets": ["mni152_tissue", "mni152_regions"],
                "folds": 3,
            },
            "show the same, and folds would part it",
        ),
        (
            {"targets": ["label", "denoising_gaussian"], "datasets": ["busi", "breastmnist"]},
            "busi and breastmnist show the same and are split apart",
        ),
        (
            {"targets": ["plane", "value.position"], "datasets": ["mni152_tissue", "us_stills"]},
            "us_stills has none of plane, value.position",
        ),
        ({"targets": ["mask", "plane"], "volumes": True, "datasets": ["us_stills"]}, "no target"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        found(**given)


def test_a_quantity_needs_a_unit_and_a_target_a_name_of_its_own():
    nameless = Annotations("d", classes=("a",), maps={"depth": ""})
    with pytest.raises(ConfigError, match=r"map\.depth has no unit"):
        offers_of(nameless, KINDS)
    with pytest.raises(ConfigError, match="two targets are called mask, of the kinds"):
        offers_of(Annotations("d", classes=("a",)), {**KINDS, "mine": KINDS["segmentation"]})


def test_objects_of_a_mask_are_no_second_target():
    assert auto_targets(Annotations("d", classes=("a",)), KINDS) == ("mask", COMPANION)
    numbered = Annotations("d", classes=("a",), numbered=True)
    assert auto_targets(numbered, KINDS) == ("objects", "mask")
    assert auto_targets(Annotations("d"), KINDS) == ()


def test_datasets_must_mean_the_same_by_a_target():
    one = Annotations("one", classes=("a",), maps={"depth": "mm"})
    other = Annotations("two", classes=("a",), maps={"depth": "cm"})
    problem = Problem("p", ("one", "two"), ("mask", "map.depth"))
    with pytest.raises(ConfigError, match=r"one \(mm\) and two \(cm\)"):
        check_targets(problem, [one, other], KINDS)


def test_folds_keep_units_whole_and_spread_each_label():
    rng = np.random.default_rng(0)
    units = [f"u{i}" for i in rng.integers(0, 60, 300)]
    label_of = dict(zip(sorted(set(units)), rng.choice(3, 60, p=[0.7, 0.2, 0.1]), strict=False))
    strata = np.array([label_of[u] for u in units])
    fold = assign_folds(units, strata, 5, seed=1)
    assert all(len(set(fold[np.array(units) == u])) == 1 for u in label_of)
    of_unit = dict(zip(units, fold, strict=True))
    for label in range(3):
        counts = np.bincount([of_unit[u] for u in label_of if label_of[u] == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(list(of_unit.values()))
    assert sizes.max() - sizes.min() <= 1
    assert (fold == assign_folds(units, strata, 5, seed=1)).all()
    assert (fold != assign_folds(units, strata, 5, seed=2)).any()
    splits = splits_of_fold(fold, 4)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(300))
    assert set(fold[splits["val"]]) == {0}
    with pytest.raises(DataError, match="2 subjects make no 3 folds"):
        assign_folds(["a", "b", "b"], np.zeros(3, int), 3, seed=0)
