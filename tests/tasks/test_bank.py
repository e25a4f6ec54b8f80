"""What holds for every task of the bank."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated import make_sample
from medtaskatlas.core.errors import ConfigError, TaskError
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.task import FAMILIES, REGISTRY, Task, is_colour, no_params, task

BANK = load_bank()
FROZEN = {
    "semantic": "segmentation multiclass_segmentation instance_segmentation detection boundary "
    "distance_map centroid_heatmap skeleton object_isolation classification",
    "generative": "denoising_gaussian denoising_poisson despeckling impulse_removal deblurring "
    "motion_deblurring super_resolution inpainting colorization bias_field_correction",
    "transformation": "rotation horizontal_flip vertical_flip translation scaling shear "
    "elastic_deformation brightness contrast_gamma inversion",
}
every_task = pytest.mark.parametrize("name", list(BANK))
with_ladder = pytest.mark.parametrize("name", [n for n, t in BANK.items() if t.ladder])


def pair_of(name: str, sample: Sample, severity: float = 0.7, seed: int = 3):
    drawn = BANK[name].draw(np.random.default_rng(seed), sample, severity)
    return BANK[name].make(sample, json.loads(json.dumps(drawn)))


def test_the_thirty_are_there() -> None:
    for family in FAMILIES:
        ours = [n for n, t in BANK.items() if t.family == family and not t.extra]
        assert ours == FROZEN[family].split()


@every_task
@pytest.mark.parametrize("side", [28, 64, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_shape_type_and_untouched_side(name: str, side: int, colour: bool) -> None:
    sample = make_sample(side, colour=colour or name == "colorization")
    before = sample.image.copy()
    source, result = pair_of(name, sample)
    assert source.shape == result.shape == sample.image.shape
    assert source.dtype == result.dtype == np.uint8
    kept = result if BANK[name].stored_side == "input" else source
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_array_equal(sample.image, before)
    changed = source if BANK[name].stored_side == "input" else result
    assert not np.array_equal(changed, before), "the pair is blank"


@every_task
def test_one_channel_images(name: str) -> None:
    if name == "colorization":
        pytest.skip("colour only")
    full = make_sample()
    thin = Sample(full.image[..., :1], full.mask, full.instances, full.boxes, 1, 2, 3)
    source, result = pair_of(name, thin)
    assert source.shape == result.shape == thin.image.shape


@every_task
def test_grey_stays_grey_where_output_is_no_palette(name: str) -> None:
    if BANK[name].format_identifiable or name == "colorization":
        pytest.skip("draws in colour")
    for side in pair_of(name, make_sample(colour=False)):
        np.testing.assert_array_equal(side[..., 0], side[..., 1])
        np.testing.assert_array_equal(side[..., 0], side[..., 2])


@every_task
@given(seed=st.integers(0, 2**31), severity=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_replay_from_json_is_exact(name: str, seed: int, severity: float) -> None:
    sample = make_sample(32, colour=True)
    drawn = BANK[name].draw(np.random.default_rng(seed), sample, severity)
    again = json.loads(json.dumps(drawn, allow_nan=False))
    for first, second in zip(
        BANK[name].make(sample, drawn), BANK[name].make(sample, again), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@with_ladder
def test_severity_zero_is_the_identity(name: str) -> None:
    source, result = pair_of(name, make_sample(), severity=0.0)
    np.testing.assert_array_equal(source, result)


@with_ladder
def test_effect_grows_with_severity(name: str) -> None:
    """Mean change over images and draws does not fall along the ladder."""
    change = []
    for severity in (0.1, 0.3, 0.6, 1.0):
        pairs = [
            pair_of(name, make_sample(seed=s), severity, seed=s + 10 * k)
            for s in range(4)
            for k in range(6)
        ]
        change.append(np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairs]))
    assert change == sorted(change), change


def test_usable_says_what_is_missing() -> None:
    full = make_sample()
    bare = Sample(full.image)
    empty = Sample(full.image, np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint16))
    for name, t in BANK.items():
        wants = bool(t.needs)
        assert t.usable(bare) is not wants, name
        assert t.usable(empty) is not wants, name
    assert BANK["colorization"].usable(make_sample(colour=True))


def task_of(apply, family: str = "semantic", draw=no_params) -> Task:
    return Task("bad", family, "", frozenset(), None, False, draw, apply)


def raises(sample, params):
    raise ValueError("no")


def writes_with_numpy(sample, params):
    sample.image[0, 0] = 0
    return sample.image, sample.image


def writes_with_opencv(sample, params):
    cv2.bitwise_not(sample.image, dst=sample.image)
    return sample.image, sample.image


def is_random(sample, params):
    return sample.image, np.random.default_rng().integers(0, 255, sample.image.shape, np.uint8)


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        (raises, "ValueError: no"),
        (lambda s, p: (s.image, s.image[:5]), "output is uint8 .*must be uint8"),
        (lambda s, p: (s.image, s.image.astype(float)), "output is float64 .*, must be uint8"),
        (lambda s, p: (s.image, s.image / np.float32("nan")), "with 12288 NaN"),
        (lambda s, p: (s.image, None), "output is a NoneType"),
        (lambda s, p: s.image, "returned uint8"),
        (lambda s, p: (s.image, s.image, s.image), "returned a tuple"),
        (lambda s, p: (255 - s.image, s.image), "must leave the input as the image is"),
        (writes_with_numpy, "read-only"),
        (writes_with_opencv, "failed with params"),
        (is_random, "is not deterministic, the output differs"),
    ],
)
def test_a_task_that_breaks_its_contract_is_named(apply, words: str) -> None:
    sample = make_sample()
    before = sample.image.copy()
    with pytest.raises(TaskError, match=words) as error:
        task_of(apply).make(sample, {"angle": 3}, twice=True)
    assert "task bad" in error.value.problem
    assert "{'angle': 3}" in error.value.problem
    assert error.value.remedy
    np.testing.assert_array_equal(sample.image, before)


def test_the_kept_side_goes_by_family() -> None:
    def swapped(sample, params):
        return sample.image, 255 - sample.image

    task_of(swapped, "transformation").make(make_sample(), {})
    with pytest.raises(TaskError, match="must leave the output"):
        task_of(swapped, "generative").make(make_sample(), {})


def test_a_task_cannot_change_the_params_of_its_pair() -> None:
    def changes(sample, params):
        params["more"] = 1
        return sample.image, sample.image

    params = {"angle": 3}
    task_of(changes).make(make_sample(), params)
    assert params == {"angle": 3}


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ({"a": np.float32(1)}, "not plain JSON"),
        ({"a": float("inf")}, "not plain JSON"),
        ([1], "a list is no dict"),
    ],
)
def test_parameters_are_plain(drawn, words: str) -> None:
    bad = task_of(raises, draw=lambda rng, sample, severity: drawn)
    with pytest.raises(TaskError, match=words):
        bad.parameters(np.random.default_rng(0), make_sample(), 0.5)
    fine = task_of(raises, draw=lambda rng, sample, severity: {"a": (1, severity)})
    drawn = fine.parameters(np.random.default_rng(0), make_sample(), 0.5)
    assert drawn == {"a": [1, 0.5]}


def test_a_draw_that_raises_is_named() -> None:
    bad = task_of(raises, draw=lambda rng, sample, severity: {"a": 1 / 0})
    with pytest.raises(TaskError, match=r"could not draw params for severity 0\.5: Zero"):
        bad.parameters(np.random.default_rng(0), make_sample(), 0.5)


def test_an_extra_is_registered_as_one() -> None:
    try:

        @task(family="transformation", draw=no_params, extra=True)
        def only_if_named(sample, params):
            """Do nothing."""
            return sample.image, sample.image

        assert REGISTRY["only_if_named"].extra
        assert not REGISTRY["rotation"].extra
    finally:
        REGISTRY.pop("only_if_named", None)


def test_colour_is_more_than_a_few_pixels() -> None:
    grey = make_sample(colour=False).image
    assert not is_colour(grey)
    assert is_colour(make_sample(colour=True).image)
    for count, colour in ((40, False), (41, True)):
        dyed = grey.copy()
        dyed.reshape(-1, 3)[:count] = [0, 4, 9]
        assert is_colour(dyed) == colour
        dyed.reshape(-1, 3)[:count] = [0, 4, 8]
        assert not is_colour(dyed)


def test_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean inpainting"):
        select_tasks(["inpaintng"], BANK)
    with pytest.raises(ValueError, match="two tasks"):
        task(family="semantic", draw=no_params)(BANK["segmentation"].apply)


def test_a_file_of_the_users_own(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "from medtaskatlas.tasks.task import task, no_params\n"
        "@task(family='transformation', draw=no_params)\n"
        "def posterise(sample, params):\n"
        "    '''Keep the two highest bits.'''\n"
        "    return sample.image, sample.image & 0xC0\n"
    )
    try:
        bank = load_bank(tmp_path)
        assert bank["posterise"].description == "Keep the two highest bits"
        assert select_tasks(["posterise"], bank) == ["posterise"]
    finally:
        REGISTRY.pop("posterise", None)
    (tmp_path / "broken.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(TaskError, match=r"broken\.py"):
        load_bank(tmp_path)
    with pytest.raises(ConfigError, match="no folder"):
        load_bank(tmp_path / "absent")
