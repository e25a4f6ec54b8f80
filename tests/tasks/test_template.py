"""The template of a task of one's own works as it stands."""

import json
import shutil

import numpy as np
import pytest

from generated import SPLITS, make_sample, write_dataset
from medtaskatlas.core.errors import ConfigError, TaskError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.check import check_task
from medtaskatlas.tasks.task import REGISTRY, Ladder, Task, no_params

NAME = "thick_slice_restoration"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy(REPOSITORY / "docs" / "task_template.py", tmp_path / "mine" / f"{NAME}.py")
    yield tmp_path / "mine"
    REGISTRY.pop(NAME, None)


@pytest.fixture
def task(folder):
    return load_bank(folder)[NAME]


def test_it_joins_the_bank_and_makes_pairs(folder, tmp_path):
    bank = load_bank(folder)
    assert NAME in select_tasks("all", bank)
    images = write_dataset(tmp_path / "images" / "a.arrow")
    out = tmp_path / "pairs" / "main" / NAME / "a.arrow"
    make_pairs(images, bank[NAME], out, pairs_per_cell=10, splits=SPLITS, seed=0)
    pairs = PairSet(out, ImageSet(images))
    assert len(pairs) == 10
    assert pairs.column("task").to_pylist() == [NAME] * 10
    assert pairs.column("severity").null_count == 0
    for row in range(10):
        assert (pairs.side("input", row) != pairs.side("output", row)).any()


def test_it_passes_its_own_check(task):
    assert check_task(task) == []


@pytest.mark.parametrize("side", [28, 64, 200])
@pytest.mark.parametrize("channels", [1, 3])
def test_severity_zero_is_the_identity_and_more_is_more(task, side, channels):
    full = make_sample(side)
    sample = Sample(full.image[..., :channels], full.mask)
    lost = []
    for severity in (0.0, 0.25, 0.5, 1.0):
        params = task.draw(np.random.default_rng(0), sample, severity)
        degraded, image = task.make(sample, json.loads(json.dumps(params)))
        lost.append(np.abs(degraded.astype(float) - image).mean())
    assert lost[0] == 0
    assert lost == sorted(set(lost)), lost


def test_slices_average_along_one_direction(task):
    """Rows that alternate within a slice become their mean; columns stay as they are."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[1::2] = 200
    by_rows, _ = task.make(Sample(stripes), {"thickness": 2, "across": "rows"})
    assert (by_rows == 100).all()
    by_columns, _ = task.make(Sample(stripes), {"thickness": 2, "across": "columns"})
    np.testing.assert_array_equal(by_columns, stripes)


def test_a_slice_is_the_mean_over_its_thickness(task):
    """Between the centres of two slices the view is the line between their means."""
    image = make_sample(64).image
    view, _ = task.make(Sample(image), {"thickness": 4, "across": "rows"})
    means = image.astype(float).reshape(16, 4, 64, 3).mean(axis=1)
    at = (np.arange(64) + 0.5) / 4 - 0.5
    low = np.clip(np.floor(at).astype(int), 0, 15)
    high = np.minimum(low + 1, 15)
    share = np.clip(at - low, 0, 1)[:, None, None]
    expected = (1 - share) * means[low] + share * means[high]
    assert np.abs(view - expected).max() <= 1.5


def _float(sample, params):
    """Float."""
    return sample.image * 0.5, sample.image


def _nan(sample, params):
    """NaN."""
    return np.full(sample.image.shape, np.nan, np.float32), sample.image


def _flat(sample, params):
    """No channel."""
    return sample.image[..., 0], sample.image


def _swapped(sample, params):
    """Wrong order."""
    return sample.image, 255 - sample.image


def _alone(sample, params):
    """One image."""
    return sample.image


def _writes(sample, params):
    """In place."""
    sample.image[:] = 0
    return sample.image, sample.image


def _chance(sample, params):
    """Random."""
    noise = np.random.default_rng().integers(0, 255, sample.image.shape, np.uint8)
    return noise, sample.image


def _needy(sample, params):
    """Uses what it has not asked for."""
    return sample.image * (sample.mask[..., None] > 0), sample.image


def _numpy(rng, sample, severity):
    return {"seed": rng.integers(5)}


MISTAKES = [
    (no_params, _float, "must be uint8 (64, 64, 3)"),
    (no_params, _nan, "NaN or infinite"),
    (no_params, _flat, "input is uint8 (64, 64), must be uint8 (64, 64, "),
    (no_params, _swapped, "must leave the output as the image is"),
    (no_params, _alone, "returned uint8 (64, 64, 3), must be a pair"),
    (no_params, _writes, "ValueError: assignment destination is read-only"),
    (no_params, _chance, "is not deterministic, the input differs on repetition"),
    (no_params, _needy, "TypeError: 'NoneType' object is not subscriptable"),
    (_numpy, _needy, "are not plain JSON (Object of type int64 is not JSON serializable)"),
]


@pytest.mark.parametrize(
    ("draw", "apply", "words"), MISTAKES, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_tutorial_quotes_what_mistakes_say(draw, apply, words):
    bad = Task("bad", "generative", "Bad", frozenset(), None, False, draw, apply)
    sample = Sample(make_sample(64).image)
    with pytest.raises(TaskError) as caught:
        bad.make(sample, bad.parameters(np.random.default_rng(0), sample, 0.5), twice=True)
    assert words in str(caught.value)
    assert words in (REPOSITORY / "docs" / "your_own_task.md").read_text()


def _coloured(sample, params):
    """Noise in three channels."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 9, sample.image.shape, np.uint8)
    return sample.image // 2 + noise, sample.image


def _nothing(sample, params):
    """Nothing."""
    return sample.image, sample.image


FINDINGS = [
    (_writes, None, "apply writes to the sample's image"),
    (_coloured, None, "a grey image becomes coloured"),
    (_nothing, None, "input and output are the same on all images"),
    (_coloured, Ladder("effect", "1", 1, 2), "severity 0 is not the identity"),
    (_coloured, Ladder("effect", "1", 1, 2), "the effect does not grow with severity"),
]


@pytest.mark.parametrize(("apply", "ladder", "words"), FINDINGS, ids=[f[2][:20] for f in FINDINGS])
def test_the_tutorial_quotes_what_the_check_finds(apply, ladder, words):
    bad = Task("bad", "generative", "Bad", frozenset(), ladder, False, no_params, apply)
    found = check_task(bad, [make_sample(28), make_sample(64)])
    assert any(words in finding for finding in found), found
    assert words in (REPOSITORY / "docs" / "your_own_task.md").read_text()


def test_the_tutorial_quotes_what_files_say(tmp_path):
    page = (REPOSITORY / "docs" / "your_own_task.md").read_text()
    head = "from medtaskatlas.tasks.task import task, no_params\n"
    start = "@task(family='semantic', draw=no_params)\ndef"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "a.py").write_text(
        f"{head}{start} rotation(sample, params):\n    'Turn.'\n"
    )
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "a.py").write_text(f"{head}{start} mine(sample, params):\n    pass\n")
    for folder, error, words in (
        ("taken", TaskError, "ValueError: two tasks are called rotation"),
        ("bare", TaskError, "needs a docstring: its first line describes it"),
        ("bare/a.py", ConfigError, "is no folder"),
    ):
        with pytest.raises(error) as caught:
            load_bank(tmp_path / folder)
        assert words in str(caught.value)
        assert words in page
