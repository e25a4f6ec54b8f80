"""Batches are a pure function of their number, however they are read."""

import numpy as np
import pytest

from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.taco.batches import _mirror, batches
from medtaskatlas.encoders.taco.rows import composer, training_rows


@pytest.mark.parametrize("readers", [2, 5])
def test_order_and_content_do_not_depend_on_the_readers(pair_files, readers) -> None:
    rows = training_rows(*pair_files)
    options = encoder_of({"kind": "taco", "batch_tasks": 4, "batch_images": 4})
    composed = composer(rows, options, 0)
    alone = list(batches(rows.bank, composed, range(3, 10), readers=1))
    together = list(batches(rows.bank, composed, range(3, 10), readers=readers))
    assert len(alone) == len(together) == 7
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert not np.array_equal(alone[0].pixels, alone[1].pixels)
    assert list(batches(rows.bank, composed, range(0), readers=readers)) == []


def test_pairs_are_mirrored_as_reversed_arrays_are() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 2, 9, 7, 3)).astype(np.uint8)
    across, down = rng.random((2, 64)) < 0.5
    expected = pixels.copy()
    expected[across] = expected[across, :, :, ::-1]
    expected[down] = expected[down, :, ::-1]
    np.testing.assert_array_equal(_mirror(pixels, np.stack([across, down])), expected)
