"""A task that breaks its contract is named; the check finds it, and nothing where all is well.

Faults with a `*` are quoted in the tutorial.
"""

import itertools
import shutil

import cv2
import numpy as np
import pytest

from generated import SPLITS, make_pairs, make_sample, write_dataset, write_task
from medtaskatlas.core.errors import ConfigError, DataError, TaskError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.check import check_file, check_task, example_samples
from medtaskatlas.tasks.task import Ladder, Task, no_params

BANK = load_bank()
LADDER = Ladder("offset", "grey levels", 0, 100)
TUTORIAL = (REPOSITORY / "docs" / "your_own_task.md").read_text()
TEMPLATE = "thick_slice_restoration"
_count = itertools.count()
pytestmark = pytest.mark.usefixtures("registry")


def made(apply, draw=no_params, *, family="transformation", ladder=None, marked=False):
    return Task("bad", family, "Bad", frozenset(), ladder, marked, draw, apply)


def by_severity(rng, sample, severity):
    return {"offset": 100 * severity}


def brighter(sample, params):
    offset = int(params["offset"])
    return sample.image, np.minimum(sample.image, 255 - offset) + np.uint8(offset)


def returns(output):
    return lambda sample, params: (sample.image, output(sample.image))


def writes(sample, params):
    sample.image[:] = 0
    return sample.image, sample.image


def writes_with_opencv(sample, params):
    cv2.bitwise_not(sample.image, dst=sample.image)
    return sample.image, sample.image


def chance(sample, params):
    return sample.image, np.random.default_rng().integers(0, 255, sample.image.shape, np.uint8)


def raises(sample, params):
    raise KeyError("angle")


def needy(sample, params):
    return sample.image, sample.image * (sample.mask[..., None] > 0)


def tinted(sample, params):
    out = sample.image.copy()
    out[..., 0] //= 2
    return sample.image, out


# What `apply` does; what is said when a pair is made; what the check says, where it differs.
FAULTS = [
    (raises, "failed with params {'angle': 3}: KeyError: 'angle'", None),
    (needy, "*TypeError: 'NoneType' object is not subscriptable", "error: "),
    (returns(lambda x: x * 0.5), "*must be uint8 (64, 64, 3)", "must be uint8 (28, 28, 3)"),
    (returns(lambda x: x[:5]), "output is uint8 (5, 64, 3), must be uint8", "uint8 (5, 28, 3)"),
    (returns(lambda x: x[..., 0]), "output is uint8 (64, 64), must be", "uint8 (28, 28), must be"),
    (returns(lambda x: np.full(x.shape, np.nan)), "*NaN or infinite", "with 2352 NaN"),
    (returns(lambda x: None), "output is a NoneType", None),
    (lambda s, p: s.image, "*returned uint8 (64, 64, 3), must be a pair", "must be a pair"),
    (lambda s, p: (s.image, s.image, s.image), "returned a tuple", None),
    (lambda s, p: (255 - s.image, s.image), "must leave the input as the image is", None),
    (
        writes,
        "*ValueError: assignment destination is read-only",
        "*apply writes to the sample's image on a grey image of 28 x 28",
    ),
    (writes_with_opencv, "failed with params", "apply writes to the sample's image"),
    (chance, "is not deterministic, the output differs on repetition", None),
]


def quoted(words: str) -> str:
    """Words without their mark; those with one must be in the tutorial."""
    short = words.removeprefix("*").split(" on a grey")[0]
    assert not words.startswith("*") or short in TUTORIAL
    return words.removeprefix("*")


@pytest.mark.parametrize(("apply", "words", "found"), FAULTS)
def test_a_task_that_breaks_its_contract_is_named(apply, words, found) -> None:
    sample = Sample(make_sample().image)
    before = sample.image.copy()
    with pytest.raises(TaskError) as error:
        made(apply).make(sample, {"angle": 3}, twice=True)
    assert quoted(words) in error.value.problem
    assert "task bad" in error.value.problem
    assert "{'angle': 3}" in error.value.problem
    assert error.value.remedy
    np.testing.assert_array_equal(sample.image, before)
    bare = [Sample(s.image) for s in example_samples()]
    (finding,) = check_task(made(apply), bare)
    assert finding.startswith("error: ")
    assert quoted(found or words.replace("{'angle': 3}", "{}")) in finding


@pytest.mark.parametrize(
    "words",
    [
        "must leave the output as the image is",
        "is not deterministic, the input differs on repetition",
        "input is uint8 (64, 64), must be uint8 (64, 64, ",
    ],
)
def test_a_restoration_keeps_the_output(words) -> None:
    """As the tutorial, whose example is one, quotes it."""
    apply = {
        "must": returns(lambda x: 255 - x),
        "is n": lambda s, p: chance(s, p)[::-1],
        "inpu": lambda s, p: (s.image[..., 0], s.image),
    }[words[:4]]
    with pytest.raises(TaskError) as error:
        made(apply, family="generative").make(make_sample(), {}, twice=True)
    assert quoted("*" + words) in error.value.problem


DRAWS = [
    (lambda r, s, v: {"offset": np.int64(3)}, "*are not plain JSON (Object of type int64 is not "),
    (lambda r, s, v: {"offset": float("inf")}, "are not plain JSON"),
    (lambda r, s, v: [1], "a list is no dict"),
    (lambda r, s, v: 1 / 0, "could not draw params for severity 0.7: ZeroDivisionError"),
]


@pytest.mark.parametrize(("draw", "words"), DRAWS)
def test_a_draw_that_breaks_its_contract_is_named(draw, words) -> None:
    with pytest.raises(TaskError) as error:
        made(brighter, draw).parameters(np.random.default_rng(0), make_sample(), 0.7)
    assert quoted(words) in error.value.problem
    (finding,) = check_task(made(brighter, draw))
    assert quoted(words) in finding


def test_params_are_plain_and_the_pairs_own() -> None:
    fine = made(raises, lambda rng, sample, severity: {"a": (1, severity)})
    params = fine.parameters(np.random.default_rng(0), make_sample(), 0.5)
    assert params == {"a": [1, 0.5]}

    def adds(sample, params):
        params["more"] = 1
        return sample.image, 255 - sample.image

    made(adds).make(make_sample(), params)
    assert params == {"a": [1, 0.5]}
    assert any("error: apply changes its params" in finding for finding in check_task(made(adds)))


def stateful():
    """A task whose pairs depend on how often the size changed before."""
    seen: list[tuple[int, ...]] = [()]

    def counts_changes(sample, params):
        if sample.image.shape != seen[-1]:
            seen.append(sample.image.shape)
        return sample.image, np.full_like(sample.image, len(seen))

    return made(counts_changes)


def needs_tuples(sample, params):
    return sample.image, sample.image + np.uint8(1 if isinstance(params["a"], list) else 2)


def backwards(sample, params):
    return brighter(sample, {"offset": (100 - params["offset"]) if params["offset"] else 0})


def globally_random(sample, params):
    return sample.image, sample.image // 2 + np.uint8(np.random.rand() < 0)  # noqa: NPY002


FINDINGS = [
    (made(brighter, lambda r, s, v: {"offset": next(_count)}), "error: draw is not deterministic"),
    (made(needs_tuples, lambda r, s, v: {"a": (1, 2)}), "error: params", "do not survive JSON"),
    (made(globally_random), "error: draw or apply uses a global generator"),
    (made(brighter, by_severity), "error: draw depends on severity"),
    (stateful(), "depends on those made before"),
    (made(returns(lambda x: x)), "warning: ", "*input and output are the same on all images"),
    (made(tinted), "warning: ", "*a grey image becomes coloured"),
    (
        made(lambda s, p: brighter(s, {"offset": 20 + p["offset"]}), by_severity, ladder=LADDER),
        "error: ",
        "*severity 0 is not the identity",
    ),
    (
        made(backwards, by_severity, ladder=LADDER),
        "warning: ",
        "*the effect does not grow with severity",
    ),
]


@pytest.mark.parametrize(("task", "words"), [(task, words) for task, *words in FINDINGS])
def test_what_is_wrong_over_many_pairs_is_found(task: Task, words: list[str]) -> None:
    found = check_task(task)
    assert any(all(quoted(word) in finding for word in words) for finding in found), found
    assert all(finding.startswith(("error: ", "warning: ")) for finding in found)


RIGHT = {
    "own": made(brighter, by_severity, ladder=LADDER),
    "tinted, and says so": made(tinted, marked=True),
    **{name: BANK[name] for name in ("rotation", "translation", "skeleton", "detection")},
    "brightness": BANK["brightness"],
}


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_found_in_a_right_task(name: str) -> None:
    assert check_task(RIGHT[name]) == []


def test_examples_cover_sizes_and_colours_and_what_suits_none_is_said() -> None:
    samples = example_samples()
    assert {s.image.shape[0] for s in samples} == {28, 64, 512}
    assert sum(BANK["segmentation"].usable(s) for s in samples) == len(samples)
    assert sum(BANK["colorization"].usable(s) for s in samples) == 3
    found = check_task(BANK["colorization"], samples[:1])
    assert found == ["error: none of 1 images has what the task needs (colour)"]


# Files of the user's own.


def test_all_tasks_of_a_file_are_checked(tmp_path) -> None:
    file = write_task(tmp_path / "halved.py", "sample.image // 2")
    text = file.read_text()
    whole = text.partition("\n")[2]
    bright = whole.replace("halved", "too_bright").replace("// 2", "* 2.0")
    file.write_text(text + bright)
    good, found = check_file(file)
    assert (good.severity, good.task) == ("info", "halved")
    assert (found.severity, found.task) == ("error", "too_bright")
    told = f"error: {file}: line 6: too_bright: on a grey image of 28 x 28"
    assert str(found).startswith(told)
    assert "float64" in found.problem
    (tmp_path / "none.py").write_text("x = 1\n")
    assert "registers no task" in str(check_file(tmp_path / "none.py")[0])
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(TaskError, match=r"broken\.py: line 1: ZeroDivisionError"):
        check_file(tmp_path / "broken.py")
    with pytest.raises(DataError, match=r"absent\.py is missing"):
        check_file(tmp_path / "absent.py")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda f: write_task(f / "rotation.py", "0"), TaskError, "*two tasks are called rotation"),
        (
            lambda f: write_task(f / "mine.py", "0", description=""),
            TaskError,
            "*needs a docstring: its first line describes it",
        ),
        (lambda f: (f / "a.py").write_text("import nothing_of_the_kind\n"), TaskError, "a.py"),
        (lambda f: f.rmdir(), ConfigError, "*is no folder"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_named(tmp_path, make, error, words) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    make(folder)
    with pytest.raises(error) as caught:
        load_bank(folder)
    assert quoted(words) in str(caught.value)


def test_a_name_that_is_no_task_is_corrected() -> None:
    with pytest.raises(ConfigError, match="did you mean inpainting"):
        select_tasks(["inpaintng"], BANK)


# The template of a task of one's own.


@pytest.fixture
def template(tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy(REPOSITORY / "docs" / "task_template.py", tmp_path / "mine" / f"{TEMPLATE}.py")
    return load_bank(tmp_path / "mine")[TEMPLATE]


def test_the_template_joins_the_grid_and_makes_pairs(template, tmp_path) -> None:
    names = select_tasks("all", load_bank(tmp_path / "mine"))
    assert len(names) == 31
    assert TEMPLATE in names
    assert template.description.endswith("which average along one direction")
    assert check_task(template) == []
    images = write_dataset(tmp_path / "images" / "a.arrow")
    out = tmp_path / "pairs" / "main" / TEMPLATE / "a.arrow"
    make_pairs(images, template, out, pairs_per_cell=10, splits=SPLITS, seed=0)
    pairs = PairSet(out, ImageSet(images))
    assert pairs.column("task").to_pylist() == [TEMPLATE] * 10
    assert pairs.column("severity").null_count == 0
    for row in range(10):
        assert (pairs.side("input", row) != pairs.side("output", row)).any()


def test_slices_average_along_one_direction(template) -> None:
    """Rows that alternate within a slice become their mean; columns stay as they are."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[1::2] = 200
    by_rows, _ = template.make(Sample(stripes), {"thickness": 2, "across": "rows"})
    assert (by_rows == 100).all()
    by_columns, _ = template.make(Sample(stripes), {"thickness": 2, "across": "columns"})
    np.testing.assert_array_equal(by_columns, stripes)


def test_a_slice_is_the_mean_over_its_thickness(template) -> None:
    """Between the centres of two slices the view is the line between their means."""
    image = make_sample(64).image
    view, _ = template.make(Sample(image), {"thickness": 4, "across": "rows"})
    means = image.astype(float).reshape(16, 4, 64, 3).mean(axis=1)
    at = (np.arange(64) + 0.5) / 4 - 0.5
    low = np.clip(np.floor(at).astype(int), 0, 15)
    high = np.minimum(low + 1, 15)
    share = np.clip(at - low, 0, 1)[:, None, None]
    expected = (1 - share) * means[low] + share * means[high]
    assert np.abs(view - expected).max() <= 1.5
