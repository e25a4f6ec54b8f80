"""What TaCo learns from, and what its options change."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_taco import TINY, train_tiny

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.kinds.taco import Taco
from medtaskatlas.encoders.pairbank import training_rows
from medtaskatlas.encoders.taco.batches import Composer, mirror
from medtaskatlas.encoders.taco.losses import EMPTY, FAILURE
from medtaskatlas.encoders.taco.validation import Validation, vote
from medtaskatlas.learning.processes import Processes

BATCH = {"batch_tasks": 4, "batch_images": 4}


def test_shares_and_labels_of_a_batch(pair_files, failure_files) -> None:
    rows = training_rows(*pair_files, failure_files)
    assert set(rows.bank.strings("split")[rows.train]) == {"train"}
    picks = Composer(rows, seed=0, **BATCH, failures=0.2).picks(5)
    wrong = picks.labels == FAILURE
    assert wrong.sum() == 4
    assert len(wrong) == 20
    of = rows.bank.strings("failure_of")[picks.rows]
    assert [x is not None for x in of] == wrong.tolist()
    plain = Composer(rows, seed=0, **BATCH).picks(5)
    np.testing.assert_array_equal(picks.rows[~wrong], plain.rows)


def test_unchanged_pairs_show_the_images_of_pairs_with_a_severity(pair_files) -> None:
    rows = training_rows(*pair_files)
    composed = Composer(rows, seed=0, **BATCH, unchanged=True)
    plain = Composer(rows, seed=0, **BATCH).picks(2)
    picks = composed.picks(2)
    unchanged = picks.labels == EMPTY
    for name in ("rows", "labels", "severities", "images"):
        value = getattr(plain, name)
        np.testing.assert_array_equal(getattr(picks, name)[~unchanged], value)
    graded = ~np.isnan(plain.severities)
    assert 0 < graded.sum() < len(graded)
    np.testing.assert_array_equal(picks.images[unchanged], np.unique(plain.images[graded]))
    # Codes stand for images, and an unchanged pair is its image twice.
    image, dataset = (rows.bank.strings(name)[picks.rows] for name in ("image_id", "dataset"))
    assert len(set(zip(picks.images, dataset, image, strict=True))) == len(set(picks.images))
    sides = composed.batch(2, Processes()).pixels[unchanged]
    assert len(sides)
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    for at in np.flatnonzero(unchanged):
        same = np.flatnonzero((picks.images == picks.images[at]) & ~unchanged)
        pixels = rows.bank.gather(picks.rows[same])
        views = [sides[at - len(plain.rows), 0][::a, ::b] for a in (1, -1) for b in (1, -1)]
        kept = pixels.reshape(-1, *pixels.shape[2:])
        assert any(np.array_equal(look, side) for look in views for side in kept)


def test_shuffled_labels_keep_their_numbers_and_lose_their_meaning(pair_files) -> None:
    rows = training_rows(*pair_files)
    true, shuffled, again, other = (
        Composer(rows, seed=seed, **BATCH, labels=labels)
        for seed, labels in ((0, "true"), (0, "shuffled"), (0, "shuffled"), (1, "shuffled"))
    )
    names = [c.sampler.tasks[c.sampler.codes] for c in (true, shuffled)]
    assert sorted(names[0]) == sorted(names[1])
    assert (names[0] == names[1]).mean() < 0.5
    np.testing.assert_array_equal(again.sampler.codes, shuffled.sampler.codes)
    assert not np.array_equal(other.sampler.codes, shuffled.sampler.codes)


def test_fewer_pairs_a_cell(pair_files, tmp_path) -> None:
    train_tiny(pair_files, tmp_path, TINY | {"steps": 1}, pairs_per_cell=5)
    facts = json.loads((tmp_path / "config.json").read_text())
    assert facts["n_pairs"] == 8 * 5
    assert facts["role"] == "model"
    one = ([pair_files[0][0], *pair_files[0][2:4]], pair_files[1])
    with pytest.raises(ConfigError, match=r"too few of: \['segmentation'\]"):
        train_tiny(one, tmp_path, pairs_per_cell=1)
    with pytest.raises(DataError, match="no pair of a training group is left"):
        train_tiny(pair_files, tmp_path, pairs_per_cell=0)
    with pytest.raises(DataError, match="needs failure pairs"):
        train_tiny(pair_files, tmp_path, TINY | {"failures": 0.1})


def test_validation_is_of_groups_not_trained_on(pair_files) -> None:
    rows = training_rows(*pair_files)
    validation = Validation(rows, 0)
    split = rows.bank.strings("split")
    assert set(split[validation.queries]) == {"val"}
    assert set(split[validation.gallery]) == {"train"}
    network = encoder_of(TINY).network(0).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert 0 <= validation.accuracy(network) <= 1
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    blind = [path for path in pair_files[0] if path.parent.name == "rotation"]
    rows = training_rows(blind, pair_files[1])
    rows = type(rows)(rows.bank, rows.train, rows.val[:0], rows.failures)
    with pytest.raises(DataError, match=r"`patience` looks at validation groups"):
        Validation(rows, 0)


def test_votes_are_by_number_then_by_similarity() -> None:
    angle = torch.tensor([0.0, 0.1, 0.9, 1.0, 1.1, 0.05])
    gallery = torch.stack([angle.cos(), angle.sin()], dim=1)
    votes = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 1, 2]), 3).float()
    query = torch.tensor([[1.0, 0.0]])
    assert vote(query, gallery, votes).item() == 1
    assert vote(query, gallery[:4], votes[:4]).item() == 0


def test_mixed_precision_learns_much_the_same(pair_files, tmp_path) -> None:
    _, full = train_tiny(pair_files, tmp_path / "full")
    bf16 = TINY | {"precision": "bf16-mixed"}
    weights, mixed = train_tiny(pair_files, tmp_path / "mixed", bf16)
    assert {str(v.dtype) for v in weights.values()} == {"torch.float32", "torch.int64"}
    assert not mixed["loss"].equals(full["loss"])
    # The first step differs by rounding alone; then the two part, as any two trainings do.
    for part in (slice(1), slice(None)):
        one, other = (table["loss"].to_numpy()[part].mean() for table in (mixed, full))
        assert one == pytest.approx(other, rel=0.02 if part == slice(1) else 0.1)


@pytest.mark.parametrize("control", [{"labels": "shuffled"}, {"sees": "input"}])
def test_controls_learn_nothing_of_severity(control) -> None:
    with pytest.raises(ValidationError, match="steadiness"):
        Taco(**control, steadiness=1)


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [
        ("accumulate", 2, "raise `batch_tasks` or `batch_images`"),
        ("memory", 64, "raise `batch_tasks` or `batch_images`"),
        ("margin", 0.2, "delete `margin`"),
        ("loss", "triplet", "always supervised"),
        ("fusion", "two_tower", "take `early`, or `correspondence`"),
    ],
)
def test_options_of_older_versions_say_what_to_use_instead(option, value, instead) -> None:
    with pytest.raises(ValidationError, match=f"`{option}.*is no option any more.*{instead}"):
        Taco(**{option: value})


def test_a_process_needs_two_pairs() -> None:
    with pytest.raises(ValidationError, match="less than two pairs"):
        Taco(devices=3, batch_tasks=2, batch_images=2)


def test_batches_are_a_function_of_their_step_and_parts_of_them(pair_files) -> None:
    composed = Composer(training_rows(*pair_files), seed=0, **BATCH, unchanged=True)
    late = composed.batch(7, Processes())
    first = composed.batch(3, Processes())
    assert not np.array_equal(first.pixels[:16], late.pixels[:16])
    again = composed.batch(7, Processes())
    np.testing.assert_array_equal(again.pixels, late.pixels)
    parts = [composed.batch(7, Processes(rank, 3)) for rank in range(3)]
    np.testing.assert_array_equal(np.concatenate([p.pixels for p in parts]), late.pixels)
    assert {len(p) for p in parts} == {len(late)}


def test_pairs_are_mirrored_as_reversed_arrays_are() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 2, 9, 7, 3)).astype(np.uint8)
    across, down = rng.random((2, 64)) < 0.5
    expected = pixels.copy()
    expected[across] = expected[across, :, :, ::-1]
    expected[down] = expected[down, :, ::-1]
    mirror(pixels, np.stack([across, down]))
    np.testing.assert_array_equal(pixels, expected)
