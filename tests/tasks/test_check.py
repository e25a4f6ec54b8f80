"""The property tests of tasks find what is wrong, and nothing where nothing is."""

import itertools

import numpy as np
import pytest

from medtaskatlas.core.errors import DataError, TaskError
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.check import check_file, check_task, example_samples
from medtaskatlas.tasks.task import REGISTRY, Ladder, Task, no_params

BANK = load_bank()
LADDER = Ladder("offset", "grey levels", 0, 100)


def made(apply, draw=no_params, *, family="transformation", ladder=None, needs=(), marked=False):
    return Task("mine", family, "", frozenset(needs), ladder, marked, draw, apply)


def by_severity(rng, sample, severity):
    return {"offset": 100 * severity}


def brighter(sample, params):
    return sample.image, np.minimum(sample.image, 255 - int(params["offset"])) + np.uint8(
        params["offset"]
    )


def test_examples_cover_sizes_and_colours() -> None:
    samples = example_samples()
    assert {s.image.shape[0] for s in samples} == {28, 64, 512}
    assert sum(BANK["segmentation"].usable(s) for s in samples) == len(samples)
    assert sum(BANK["colorization"].usable(s) for s in samples) == 3


@pytest.mark.parametrize("name", ["rotation", "translation", "skeleton", "detection", "brightness"])
def test_nothing_is_found_in_a_right_task(name: str) -> None:
    assert check_task(BANK[name]) == []


def test_a_right_task_of_the_users_own() -> None:
    assert check_task(made(brighter, by_severity, ladder=LADDER)) == []


def writes(sample, params):
    sample.image[0] = 0
    return sample.image, sample.image


def changes_params(sample, params):
    params["more"] = 1
    return sample.image, 255 - sample.image


def random(sample, params):
    return sample.image, np.random.default_rng().integers(0, 255, sample.image.shape, np.uint8)


_count = itertools.count()


def needs_tuples(sample, params):
    return sample.image, sample.image + np.uint8(1 if isinstance(params["a"], list) else 2)


def only_large(sample, params):
    return sample.image, sample.image[::-1] if sample.image[50:].any() else sample.image[:, :5]


def floats(sample, params):
    return sample.image, np.full(sample.image.shape, np.nan)


def raises(sample, params):
    raise KeyError("angle")


def same(sample, params):
    return sample.image, sample.image


def tinted(sample, params):
    out = sample.image.copy()
    out[..., 0] //= 2
    return sample.image, out


def not_from_zero(sample, params):
    return brighter(sample, {"offset": 20 + params["offset"]})


def backwards(sample, params):
    return brighter(sample, {"offset": (100 - params["offset"]) if params["offset"] else 0})


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (made(writes), "error: apply writes to the sample's image on a grey image of 28 x 28"),
        (made(changes_params), "error: apply changes its params"),
        (made(random), "is not deterministic, the output differs"),
        (made(needs_tuples, lambda r, s, v: {"a": (1, 2)}), "do not survive JSON"),
        (made(only_large), "on a grey image of 28 x 28: task mine with params {}: output is uint8"),
        (made(floats), "2352 NaN"),
        (made(raises), "KeyError: 'angle'"),
        (made(lambda s, p: None), "returned a NoneType"),
        (made(brighter, lambda r, s, v: {"offset": np.float32(3)}), "are not plain JSON"),
        (made(brighter, lambda r, s, v: {"offset": float("nan")}), "are not plain JSON"),
        (made(brighter, lambda r, s, v: [1]), "a list is no dict"),
        (made(brighter, lambda r, s, v: 1 / 0), "severity 0.7: ZeroDivisionError"),
        (
            made(brighter, lambda r, s, v: {"offset": id(object()) % 7 + next(_count)}),
            "draw is not",
        ),
        (made(same), "warning: input and output are the same on all images"),
        (made(tinted), "warning: a grey image becomes coloured"),
        (made(not_from_zero, by_severity, ladder=LADDER), "error: severity 0 is not the identity"),
        (made(backwards, by_severity, ladder=LADDER), "warning: the effect does not grow"),
    ],
)
def test_what_is_wrong_is_said(task: Task, words: str) -> None:
    found = check_task(task)
    assert any(words in finding for finding in found), found
    assert all(finding.startswith(("error: ", "warning: ")) for finding in found)


def test_state_between_pairs_is_found() -> None:
    seen: list[tuple[int, ...]] = [()]

    def counts_changes(sample, params):
        if sample.image.shape != seen[-1]:
            seen.append(sample.image.shape)
        return sample.image, np.full_like(sample.image, len(seen))

    found = check_task(made(counts_changes))
    assert any("depends on those made before" in finding for finding in found), found


def test_a_task_that_no_image_suits() -> None:
    bare = [s for s in example_samples() if s.image.shape[0] == 28]
    found = check_task(BANK["colorization"], [bare[0]])
    assert found == ["error: none of 1 images has what the task needs (colour)"]


def test_tinting_is_allowed_where_it_is_said() -> None:
    assert check_task(made(tinted, marked=True)) == []


def test_all_tasks_of_a_file(tmp_path) -> None:
    file = tmp_path / "two_of_mine.py"
    file.write_text(
        "from medtaskatlas.tasks.task import task, no_params\n"
        "@task(family='transformation', draw=no_params)\n"
        "def halved(sample, params):\n"
        "    '''Half as bright.'''\n"
        "    return sample.image, sample.image // 2\n"
        "@task(family='transformation', draw=no_params)\n"
        "def too_bright(sample, params):\n"
        "    '''Twice as bright, but not in 8 bits.'''\n"
        "    return sample.image, sample.image * 2.0\n"
    )
    try:
        good, found = check_file(file)
        assert (good.severity, good.task) == ("info", "halved")
        assert (found.severity, found.task) == ("error", "too_bright")
        told = f"error: {file}: line 6: too_bright: on a grey image of 28 x 28"
        assert str(found).startswith(told)
        assert "float64" in found.problem
    finally:
        for name in ("halved", "too_bright"):
            REGISTRY.pop(name, None)
    (tmp_path / "none.py").write_text("x = 1\n")
    assert "registers no task" in str(check_file(tmp_path / "none.py")[0])
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(TaskError, match=r"broken\.py: line 1: ZeroDivisionError"):
        check_file(tmp_path / "broken.py")
    with pytest.raises(DataError, match=r"absent\.py is missing"):
        check_file(tmp_path / "absent.py")
