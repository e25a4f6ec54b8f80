"""Pixel operations that tasks share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medtaskatlas.tasks.pixels import looked_up


@given(
    pixels=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=70)),
    seed=st.integers(0, 9),
)
@settings(max_examples=50, deadline=None)
def test_look_up_is_an_index(pixels: np.ndarray, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, 256).astype(np.uint8)
    pixels.flags.writeable = False
    before = pixels.copy()
    np.testing.assert_array_equal(looked_up(pixels, levels), levels[pixels])
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("view", [np.s_[::2, ::-1], np.s_[..., 1], np.s_[3:, :5]])
def test_look_up_takes_views(view) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    levels = np.arange(255, -1, -1, dtype=np.uint8)
    np.testing.assert_array_equal(looked_up(pixels[view], levels), 255 - pixels[view])
    np.testing.assert_array_equal(looked_up(pixels, np.repeat(levels, 2)[::2]), 255 - pixels)
