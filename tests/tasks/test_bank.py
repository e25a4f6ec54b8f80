"""What holds for every task of the bank, whatever the image."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from generated import make_sample
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.task import FAMILIES

BANK = load_bank()
THIRTY = {
    "semantic": "segmentation multiclass_segmentation instance_segmentation detection boundary "
    "distance_map centroid_heatmap skeleton object_isolation classification",
    "generative": "denoising_gaussian denoising_poisson despeckling impulse_removal deblurring "
    "motion_deblurring super_resolution inpainting colorization bias_field_correction",
    "transformation": "rotation horizontal_flip vertical_flip translation scaling shear "
    "elastic_deformation brightness contrast_gamma inversion",
}
EXTRAS = {
    "generative": "rician_denoising gibbs_removal ghosting_removal spike_removal undersampled_mri "
    "low_dose_ct jpeg_artifact_removal outpainting",
    "transformation": "noise_addition sharpening edges histogram_equalisation pseudocolour",
}
MOVEMENTS = ("rotation", "translation", "scaling", "shear", "elastic_deformation")
LADDERS = [name for name, t in BANK.items() if t.ladder]
every_task = pytest.mark.parametrize("name", list(BANK))


def changed_side(name: str, sample: Sample, severity: float, seed: int = 3) -> np.ndarray:
    t = BANK[name]
    drawn = t.parameters(np.random.default_rng(seed), sample, severity)
    return t.make(sample, drawn)[t.stored_side == "output"]


@st.composite
def images(draw: st.DrawFn) -> np.ndarray:
    """Pictures of any shape: random, smooth, constant, black, white; read-only as files are.

    In no channel, one, three alike (grey), or three that differ.
    """
    size = draw(st.integers(28, 90)), draw(st.integers(28, 90))
    kind = draw(st.sampled_from(["random", "ramp", "constant", "black", "white"]))
    channels = draw(st.sampled_from(["none", "one", "alike", "three"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shape = (*size, 3 if channels == "three" else 1)
    if kind == "random":
        image = rng.integers(0, 256, shape)
    elif kind == "ramp":
        image = np.indices(shape).sum(axis=0) * np.arange(1, shape[2] + 1) % 256
    else:
        levels = {"constant": int(rng.integers(256)), "black": 0, "white": 255}
        image = np.full(shape, levels[kind])
    image = image.astype(np.uint8)
    if channels in ("none", "alike"):
        image = image[..., 0].copy() if channels == "none" else np.repeat(image, 3, axis=2)
    image.flags.writeable = False
    return image


def annotated(image: np.ndarray) -> Sample:
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[5:12, 6:20], mask[16:22, 8:18] = 1, 2
    return Sample(image, mask, mask.astype(np.uint16) * 300, None, 1, 2, 2)


def plane_of(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else image[..., 0]


def test_the_thirty_and_the_extras_which_run_only_where_they_are_named() -> None:
    for extra, named in ((False, THIRTY), (True, EXTRAS)):
        for family in FAMILIES:
            ours = [n for n, t in BANK.items() if t.family == family and t.extra == extra]
            assert ours == named.get(family, "").split()
    assert select_tasks("all", BANK) == [n for n, t in BANK.items() if not t.extra]
    asked = ["edges", "rotation", "low_dose_ct"]
    assert select_tasks(asked, BANK) == ["low_dose_ct", "rotation", "edges"]


def test_every_extra_names_its_source() -> None:
    """A docstring beyond its first line, with a year or a standard in it."""
    for name, t in BANK.items():
        if t.extra:
            text = (t.apply.__doc__ or "").partition("\n")[2]
            assert any(token in text for token in ("19", "20", "ITU-T", "DICOM")), name


@every_task
# Failures overdo a task, hence severities beyond 1.
@given(image=images(), severity=st.floats(0, 1.6), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_any_image_keeps_the_contract(name, image, severity, seed) -> None:
    """Shapes and types, one side the image, no trace left, replay to the bit, grey stays grey."""
    t, sample, before = BANK[name], annotated(image), image.copy()
    drawn = t.draw(np.random.default_rng(seed), sample, severity)
    pair = t.make(sample, drawn)
    again = t.make(sample, json.loads(json.dumps(drawn, allow_nan=False)))
    for side, replayed in zip(pair, again, strict=True):
        assert side.shape == image.shape
        assert side.dtype == np.uint8
        np.testing.assert_array_equal(side, replayed)
    np.testing.assert_array_equal(pair[t.stored_side == "input"], before)
    np.testing.assert_array_equal(image, before)
    if t.format_identifiable or name == "colorization":
        return
    # One channel alone becomes what the same channel becomes beside its likes.
    colour = image.shape[2:] == (3,) and np.ptp(image, axis=2).any()
    if colour and name not in THIRTY["transformation"].split():
        return
    alone = t.make(annotated(plane_of(image)), drawn)
    for side, thin in zip(pair, alone, strict=True):
        np.testing.assert_array_equal(plane_of(side), thin)
        if side.ndim == 3 and not colour:
            np.testing.assert_array_equal(side, np.repeat(thin[..., None], side.shape[2], axis=2))


@every_task
@pytest.mark.parametrize("side", [28, 64, 200, 512])
@pytest.mark.parametrize("colour", [False, True])
def test_no_pair_is_blank(name: str, side: int, colour: bool) -> None:
    sample = make_sample(side, colour=colour or name == "colorization")
    assert not np.array_equal(changed_side(name, sample, 0.65), sample.image)


@pytest.mark.parametrize("name", LADDERS)
@given(image=images(), seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_severity_zero_is_the_identity(name, image, seed) -> None:
    np.testing.assert_array_equal(changed_side(name, annotated(image), 0.0, seed), image)


@pytest.mark.parametrize("name", [n for n in LADDERS if n not in MOVEMENTS])
def test_effect_grows_along_a_trajectory(name: str) -> None:
    """Mean change over images, the same randomness at every level."""
    steps = []
    for severity in np.linspace(0, 1, 11):
        samples = [make_sample(seed=s, colour=s % 2 == 1) for s in range(4)]
        changes = [
            np.abs(changed_side(name, s, float(severity), seed=k).astype(float) - s.image).mean()
            for k, s in enumerate(samples)
        ]
        steps.append(np.mean(changes))
    # Whole pixels and whole sizes make steps that may be level, not falls of more than 2 %.
    assert all(b >= 0.98 * a for a, b in itertools.pairwise(steps)), steps
    assert stats.spearmanr(np.arange(11), steps).statistic > 0.98
    assert steps[0] == 0
    assert steps[-1] > 3


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movements_go_further_along_a_trajectory(name: str) -> None:
    """Mean way of a pixel, read from ramps whose grey level is the position."""
    ramp = np.tile(np.arange(96, dtype=np.uint8) * 2 + 30, (96, 1))
    ways = []
    for severity in np.linspace(0, 1, 11):
        moved = [
            [changed_side(name, Sample(r), float(severity), seed) - r.astype(float) for r in ramps]
            for seed, ramps in enumerate([(ramp, ramp.T.copy())] * 8)
        ]
        ways.append(np.mean([np.hypot(*both).mean() / 2 for both in moved]))
    assert (np.diff(ways) > 0).all(), ways


def test_params_tell_pairs_apart() -> None:
    """Two draws give two pairs, wherever anything is drawn but a direction of two."""
    sample = make_sample(64, colour=True)
    for name, t in BANK.items():
        drawn = t.draw(np.random.default_rng(0), sample, 0.6)
        if drawn.keys() & {"seed", "spikes", "aside"} or name == "motion_deblurring":
            made = {changed_side(name, sample, 0.6, seed).tobytes() for seed in range(4)}
            assert len(made) == 4, name


DIGESTS = """
import hashlib, sys
import cv2
import numpy as np
from generated import make_sample
from medtaskatlas.tasks.bank import load_bank

cv2.setNumThreads(int(sys.argv[1]))
digest = hashlib.sha256()
for t in load_bank().values():
    for side in (64, 224):
        sample = make_sample(side, colour=side == 224)
        for pixels in t.apply(sample, t.draw(np.random.default_rng(1), sample, 0.7)):
            digest.update(np.ascontiguousarray(pixels).data)
print(digest.hexdigest())
"""


def test_the_same_bytes_in_other_processes_with_any_number_of_threads() -> None:
    found = set()
    for threads in ("1", "4"):
        numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED")
        paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        run = subprocess.run(
            [sys.executable, "-c", DIGESTS, threads],
            env=os.environ | dict.fromkeys(numbers, threads) | paths,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout.strip())
    assert len(found) == 1


@every_task
@pytest.mark.parametrize("side", [45, 61])
def test_where_an_image_lies_in_memory_does_not_matter(name: str, side: int) -> None:
    """Vector code rounds otherwise at some addresses; that must not reach a pixel."""
    full = make_sample(side, colour=True)
    drawn = BANK[name].draw(np.random.default_rng(1), full, 0.7)
    found, kept = set(), []
    for offset in (0, 1, 4, 8, 13, 20, 32):
        buffer = np.empty(full.image.size + 128, np.uint8)
        first = -buffer.ctypes.data % 64 + offset
        moved = buffer[first : first + full.image.size].reshape(full.image.shape)
        moved[...] = full.image
        # So that what the task makes lies elsewhere each time too.
        kept.append(np.empty(1000 * offset + 16, np.uint8))
        pair = BANK[name].apply(replace(full, image=moved), drawn)
        found.add(b"".join(np.ascontiguousarray(side).tobytes() for side in pair))
    assert len(found) == 1


def test_usable_says_what_is_missing() -> None:
    full = make_sample()
    empty = Sample(full.image, np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint16))
    for name, t in BANK.items():
        for sample in (Sample(full.image), empty):
            assert t.usable(sample) is not bool(t.needs), name
    assert BANK["colorization"].usable(make_sample(colour=True))
    assert not BANK["colorization"].usable(full)


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
