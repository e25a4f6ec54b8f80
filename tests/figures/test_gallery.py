"""Gallery: examples of every task, the figure of a run, and the page of the docs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import cv2
import numpy as np
import pytest

from generated import write_dataset
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.figures.gallery import gallery
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.site.gallery import page_text
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.preview import SEVERITIES, candidates, examples, most_useful
from medtaskatlas.tasks.task import Ladder, Task, no_params

BANK = load_bank()
TASKS = [BANK[name] for name in ("segmentation", "denoising_gaussian", "rotation", "vertical_flip")]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Images of three datasets: two CT, one MR."""
    folder = tmp_path_factory.mktemp("gallery")
    return [
        write_dataset(folder / f"{n}.arrow", seed=k) for n, k in zip("abc", (0, 2, 1), strict=True)
    ]


@pytest.fixture(scope="module")
def sets(paths):
    return [candidates(ImageSet(path)) for path in paths]


def test_candidates_begin_with_one_image_of_every_group(paths):
    images = ImageSet(paths[0])
    found = candidates(images)
    assert sorted(found.rows) == list(range(len(images)))
    groups = images.numpy("group_id")[list(found.rows)]
    assert len(set(groups[:6])) == 6 == len(set(groups))
    assert set(candidates(images, [3, 5]).rows) == {3, 5}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_examples_are_pairs_of_the_task(sets, task):
    shown = examples(task, sets, seed=0)
    source = {s.dataset: s for s in sets}
    assert len(shown) == (3 if task.ladder else 6)
    assert {e.severities for e in shown} == {SEVERITIES if task.ladder else (None,)}
    # Another modality comes before another dataset of the first one.
    assert list(dict.fromkeys(e.dataset for e in shown)) == ["a", "c", "b"]
    for e in shown:
        image = source[e.dataset].samples[source[e.dataset].rows.index(e.row)].image
        for pair in e.pairs:
            kept = 1 if task.stored_side == "input" else 0
            np.testing.assert_array_equal(pair[kept], image)
            assert not np.array_equal(pair[1 - kept], image)
    for e, again in zip(shown, examples(task, sets, seed=0), strict=True):
        np.testing.assert_array_equal(e.pairs, again.pairs)


def test_only_the_severity_changes_along_a_row(sets):
    noise = [
        [pair[0].astype(int) - pair[1] for pair in e.pairs]
        for e in examples(BANK["denoising_gaussian"], sets, seed=0)
    ]
    for mild, _, strong in noise:
        # One noise field, four times as strong, where it is not clipped.
        inner = (np.abs(strong) < 40) & (np.abs(mild) > 0)
        assert np.corrcoef(mild[inner], strong[inner])[0, 1] > 0.95


def test_few_datasets_give_more_images_and_none_gives_none(sets):
    assert len(examples(BANK["rotation"], sets[:1], seed=0)) == 3
    assert len({e.row for e in examples(BANK["inversion"], sets[:1], seed=0)}) == 6
    assert examples(BANK["classification"], sets, seed=0) == []
    bare = replace(sets[0], samples=tuple(replace(s, mask=None) for s in sets[0].samples))
    assert most_useful(TASKS, [bare, sets[1]]) == [sets[1], bare]
    only = examples(BANK["segmentation"], [bare, sets[1]], seed=0)
    assert {e.dataset for e in only} == {"b"}


def test_labels_differ_where_they_can(sets):
    labelled = [
        replace(s, samples=tuple(replace(x, label=k % 2) for k, x in enumerate(s.samples)))
        for s in sets
    ]
    shown = examples(BANK["classification"], labelled, seed=0)
    assert len({e.pairs[0][1].tobytes() for e in shown}) == 2


def _broken(sample, params):
    raise ValueError("no such thing")


def test_figure_is_whole_the_same_twice_and_names_what_fails(paths, tmp_path, monkeypatch):
    ladder = Ladder("effect", "1", 0, 1)
    bad = Task("mine", "generative", "Mine", frozenset(), ladder, False, no_params, _broken)
    tasks = {task.name: task for task in [*TASKS, BANK["classification"], bad]}
    monkeypatch.setattr("medtaskatlas.figures.gallery.load_bank", lambda folder: tasks)
    files = [(tmp_path / n / "g.svg", tmp_path / n / "g.png") for n in ("first", "again")]
    for svg, png in files:
        gallery(paths, svg, png, tasks=list(tasks), seed=0)
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
    text = files[0][0].read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for word in ("denoising gaussian", "transformation", "CT", "MR", "0.25", "15, 36, 60"):
        assert word in text
    assert "has what it needs: label" in text
    assert "FAILED: task mine" in text
    assert "no such thing" in text
    picture = cv2.imread(str(files[0][1]))
    assert min(picture.shape[:2]) > 500
    assert picture.std() > 5


def test_page_shows_the_whole_bank():
    page, folder = REPOSITORY / "docs" / "gallery.md", REPOSITORY / "docs" / "gallery"
    again = "out of step with the code: python -m medtaskatlas.site.gallery"
    assert page.read_text() == page_text(list(BANK.values())), again
    assert {file.stem for file in folder.glob("*")} == set(BANK), again
    assert sum(file.stat().st_size for file in folder.glob("*.png")) < 3e6
