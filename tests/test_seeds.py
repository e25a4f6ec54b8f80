"""Seeds: the same everywhere, different for every purpose."""

import numpy as np
import pytest

from medtaskatlas.core.seeds import entropy, generator


def test_golden_values_hold_on_every_machine() -> None:
    assert entropy("pairs", "ct", 3) == [3876456277, 3005040109, 4157196690, 3735862599]
    assert generator(7, "pairs", "ct", 3).integers(2**32) == 676933664


def test_keys_do_not_run_together() -> None:
    keys = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("1",), (1,)]
    assert len({tuple(entropy(*k)) for k in keys}) == len(keys)


def test_order_of_draws_does_not_matter() -> None:
    first = generator(0, "x", 1).random(3)
    generator(0, "x", 2).random(100)
    np.testing.assert_array_equal(generator(0, "x", 1).random(3), first)
    assert not np.array_equal(generator(1, "x", 1).random(3), first)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**40 + 3])
def test_the_quick_way_gives_the_stated_stream(seed) -> None:
    plain = np.random.SeedSequence([seed, *entropy("a", 1)])
    expected = np.random.Generator(np.random.PCG64(plain)).integers(2**32, size=4)
    np.testing.assert_array_equal(generator(seed, "a", 1).integers(2**32, size=4), expected)
