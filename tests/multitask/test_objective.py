"""Multi-task training through the engine: strategies of fine-tuning, missing targets, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_targets import TARGETS, batch

from medtaskatlas.core.errors import DataError
from medtaskatlas.learning.checkpoint import Checkpoint
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.history import History, LossError
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.multitask.objective import MultitaskObjective
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.multitask.systems.ums_rep import groups
from medtaskatlas.multitask.weighting import weighting_of

NAMES = [t.name for t in TARGETS]
STEPS = 10


def train(
    path,
    system="hps",
    *,
    batches=batch,
    steps=STEPS,
    training=None,
    validation=None,
    weighting="equal",
    **options,
):
    set_up_torch(1)
    kind = SYSTEMS[system]
    chosen = kind.options(width=8, **options)
    network = kind.network(TARGETS, chosen, 0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    parts = groups(network, chosen, steps) if system == "ums_rep" else ()
    objective = MultitaskObjective(
        network,
        TARGETS,
        batches,
        weighting_of(weighting, NAMES, epoch=1),
        groups=parts,
        validation=validation,
    )
    options = {"steps": steps, "learning_rate": 1e-3, "weight_decay": 0.0, "warmup": 0.0}
    how = Training(**{**options, "checkpoint_seconds": 1e-9, **(training or {})})
    history, cost = fit(objective, how, Checkpoint(path, "toy"), seed=0, title="toy")
    return before, network.state_dict(), history, cost


def moved(before, after, part: str) -> float:
    """Largest change of the tensors of a part."""
    names = [n for n in before if n.startswith(part)]
    return max((before[n].double() - after[n].double()).abs().max().item() for n in names)


PARTS = ["encoder.stem.", *(f"encoder.stages.{i}." for i in range(4))]


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize(
    ("strategy", "still"), [("frozen", 5), ("last_stage", 4), ("full", 0), ("discriminative", 0)]
)
def test_strategies_train_the_parts_that_they_name(strategy, still, norm, tmp_path) -> None:
    look = {"patience": 9, "look_every": 2}
    before, after, _, cost = train(
        tmp_path / "state",
        "ums_rep",
        strategy=strategy,
        norm=norm,
        training=look,
        validation=lambda network: 0.0 if network.training else 1.0,
    )
    # With patience the best weights are those of the first look: two steps of training.
    change = [moved(before, after, part) for part in PARTS]
    assert change[:still] == [0] * still, "weights, or statistics of a normalisation"
    assert all(c > 0 for c in change[still:])
    assert moved(before, after, "decoders.") > 0
    network = SYSTEMS["ums_rep"].network(TARGETS, SYSTEMS["ums_rep"].options(width=8, norm=norm), 0)
    fixed = sum(
        p.numel() for n, p in network.named_parameters() if n.startswith(tuple(PARTS[:still]))
    )
    assert cost.parameters == sum(p.numel() for p in network.parameters()) - fixed


def test_frozen_parts_cost_less_and_thawed_ones_are_counted_anew(tmp_path) -> None:
    flops = {
        name: train(tmp_path / name, "ums_rep", strategy=name)[3].flops
        for name in ("frozen", "last_stage", "gradual", "full")
    }
    assert flops["frozen"] < flops["last_stage"] < flops["gradual"] < flops["full"]
    # All is trained in the latter half, and stage by stage before.
    assert flops["full"] - flops["gradual"] < (flops["full"] - flops["frozen"]) / 2


def test_gradual_unfreezing_goes_from_the_last_stage_to_the_stem(tmp_path) -> None:
    first = {}
    for steps in range(1, STEPS + 1):
        kind = SYSTEMS["ums_rep"]
        options = kind.options(width=8)
        network = kind.network(TARGETS, options, 0)
        for group, part in zip(groups(network, options, STEPS), reversed(PARTS), strict=True):
            if group.factor(steps):
                first.setdefault(part, steps)
    assert list(first.values()) == [1, 2, 3, 4, 5]
    before, after, _, _ = train(tmp_path / "state", "ums_rep", strategy="gradual")
    assert all(moved(before, after, part) > 0 for part in PARTS)


def test_discriminative_rates_fall_by_stage(tmp_path) -> None:
    # The first step of Adam is as large as the rate.
    before, after, _, _ = train(tmp_path / "state", "ums_rep", steps=1, strategy="discriminative")
    change = [moved(before, after, part) for part in [*PARTS, "decoders."]]
    ratios = np.array(change[1:]) / change[:-1]
    np.testing.assert_allclose(ratios, 2.6, rtol=0.02)


def test_full_fine_tuning_is_hard_sharing(tmp_path) -> None:
    _, _, one, _ = train(tmp_path / "one", "ums_rep", strategy="full")
    _, _, two, _ = train(tmp_path / "two", "hps")
    # Up to rounding: norms are summed in another order where gradients are clipped.
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-4)


def test_gates_open_and_losses_fall(tmp_path) -> None:
    options = {"learning_rate": 3e-3}
    before, after, history, _ = train(tmp_path / "state", "ctan", steps=40, training=options)
    gates = [n for n in after if n.endswith("gate")]
    assert all(not before[n].any() and after[n].any() for n in gates)
    assert np.mean(history.losses[-5:]) < 0.7 * np.mean(history.losses[:5])
    np.testing.assert_allclose(
        np.sum(list(history.parts.values()), axis=0), history.losses, rtol=1e-5
    )


def nothing_known_of(step: int):
    """In the fourth step a map is no number, in one image that a target is known of."""
    found = batch(step, missing={"value.size": [] if step % 2 else [0, 3]})
    if step == 3:
        found.truths["map.against"][2, 0, 5, 5] = torch.nan
    return found


def test_a_second_look_at_a_batch_counts_in_no_statistics(tmp_path) -> None:
    _, after, *_ = train(tmp_path / "state", norm="batch", weighting="famo")
    seen = {int(n) for name, n in after.items() if name.endswith("num_batches_tracked")}
    assert seen == {STEPS}


def test_what_is_no_number_is_named_and_the_checkpoint_before_it_stays(tmp_path) -> None:
    message = r"toy: the loss is nan at step 4, that of map.against; images: image 3\.2\n.*rate`"
    with pytest.raises(DataError, match=message):
        train(tmp_path / "state", batches=nothing_known_of)
    kept = load_file(tmp_path / "state")
    assert len(kept["history.losses"]) == 3
    assert all(v.isfinite().all() for n, v in kept.items() if n.startswith("model."))


def test_where_no_image_is_odd_all_of_the_target_are_named(tmp_path) -> None:
    def batches(step):
        return batch(step, missing={"mask": [1, 4], "label": range(6), "value.size": [0]})

    with pytest.raises(DataError, match=r"images: image \d+.\d(, image \d+.\d)*( and 1 more)?\n"):
        train(tmp_path / "state", batches=batches, training={"learning_rate": 1e30})


def test_a_history_has_nothing_where_a_part_lacks() -> None:
    history = History("toy")
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    history._pending += [(["b"], torch.tensor([2.0, 2.0]))]
    history.append(one + two, {"a": one, "b": two})
    history.append(one, {"a": one})
    history.append(two, {"c": two})
    assert history.losses == [2.0, 3.0, 1.0, 2.0]
    expected = {"a": [np.nan, 1, 1, np.nan], "b": [np.nan, 2, np.nan, np.nan]}
    expected["c"] = [np.nan, np.nan, np.nan, 2]
    assert list(history.parts) == ["a", "b", "c"]
    for name, column in expected.items():
        np.testing.assert_array_equal(history.parts[name], column)
    with pytest.raises(LossError, match="the loss is inf at step 5, that of b"):
        history.append(one, {"a": one, "b": two / 0})
