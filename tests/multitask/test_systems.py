"""The multi-task networks: what they share, what they do not, and how large they are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from toy_targets import AGAINST, LABEL, MASK, TARGETS, VALUE, batch

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.multitask.network import parameters
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.multitask.systems.ums_rep import start_from
from medtaskatlas.multitask.weighting import weighting_of

NAMES = [target.name for target in TARGETS]
JOINT = ["hps", "mtan", "ctan", "ctan_self", "ums_rep"]
CHANNEL = {"attention": "channel", "stages": (2, 4)}


def make(system: str, targets=TARGETS, seed=0, dims=2, channels=1, **options):
    kind = SYSTEMS[system]
    chosen = kind.options(**{"width": 8, **options})
    return kind.network(targets, chosen, seed, channels=channels, dims=dims)


def losses(network, data):
    outputs = network(data.images, data.rows)
    return {t.name: t.loss(outputs[t.name], data.truths[t.name]) for t in network.targets}


def open_gates(network) -> None:
    """Let what attention finds through, as training does."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(0.5)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(
    ("system", "options"),
    [*((s, {}) for s in JOINT), ("ctan", CHANNEL), ("hps", {"backbone": "resnet50"})],
)
def test_the_sum_of_gradients_is_an_ordinary_backward_pass(system, options, norm) -> None:
    network = make(system, norm=norm, **options).double()
    open_gates(network)
    data = batch(0, missing={"label": [0, 2, 5]})
    data.images = data.images.double()
    data.truths = {n: t.double() if t.is_floating_point() else t for n, t in data.truths.items()}
    found = losses(network, data)
    sum(found.values()).backward(retain_graph=True)
    expected = {n: p.grad for n, p in network.named_parameters()}
    trained = list(network.parameters())
    total = weighting_of("sum", list(found), epoch=1).backward(
        found, trained, torch.Tensor.backward
    )
    assert torch.allclose(total, sum(found.values()))
    largest = max(g.abs().max() for g in expected.values() if g is not None)
    for name, parameter in network.named_parameters():
        if expected[name] is None:
            # A vector's sender at a fine stage has nobody to send to in the control.
            assert parameter.grad is None
            assert "senders" in name
        else:
            assert (parameter.grad - expected[name]).abs().max() < 1e-6 * largest, name


@pytest.mark.parametrize("options", [{}, CHANNEL, {"receivers": "pixels"}])
@pytest.mark.parametrize("system", ["ctan", "ctan_self"])
def test_cross_task_attention_begins_as_hard_sharing(system, options) -> None:
    data = batch(0, missing={"mask": [1, 3], "label": [0, 1, 2]})
    network = make(system, **options)
    shared, own = make("hps")(data.images, data.rows), network(data.images, data.rows)
    assert own.keys() == shared.keys()
    assert all(torch.equal(own[name], shared[name]) for name in shared)
    open_gates(network)
    changed = network(data.images, data.rows)
    touched = {n for n in shared if not torch.allclose(changed[n], shared[n], atol=1e-4)}
    pixels = {"mask", "map.against"}
    assert touched == (pixels if options.get("receivers") == "pixels" else set(shared))


def test_what_is_attended_to_is_the_others_and_in_the_control_oneself() -> None:
    data = batch(0)
    for system, others in (("ctan", True), ("ctan_self", False)):
        network = make(system)
        open_gates(network)
        before = network(data.images, data.rows)
        with torch.no_grad():
            for exchange in network.exchanges.values():
                exchange.senders["to_label"].offer.weight.mul_(-2)
        after = network(data.images, data.rows)
        same = {name: torch.equal(before[name], after[name]) for name in before}
        assert same == {n: (n == "label") == others for n in before}
    sizes = [{n: p.shape for n, p in make(s).named_parameters()} for s in ("ctan", "ctan_self")]
    assert sizes[0] == sizes[1]


def test_attention_is_that_of_torch() -> None:
    network = make("ctan", heads=2, stages=(3,))
    exchange = network.exchanges["3"]
    inner = exchange.senders["to_mask"].project[0].out_channels
    query, offers = torch.randn(2, inner, 6, 6), [torch.randn(2, 2 * inner, 4, 4) for _ in range(3)]

    def heads(x):
        return x.flatten(2).unflatten(1, (2, -1)).transpose(2, 3)

    keys, values = (torch.cat([heads(o.chunk(2, dim=1)[i]) for o in offers], dim=2) for i in (0, 1))
    expected = torch.nn.functional.scaled_dot_product_attention(heads(query), keys, values)
    found = exchange._over_places(query, offers)
    torch.testing.assert_close(found, expected.transpose(2, 3), rtol=1e-4, atol=1e-5)


def test_masks_of_two_targets_differ_and_belong_to_them() -> None:
    network, data = make("mtan"), batch(0)
    seen = {}
    for name in ("mask", "map.against"):
        module = network.masks["to_" + name.replace(".", "/")]
        for i, mask in enumerate(module):
            mask.register_forward_hook(lambda m, a, out, k=(name, i): seen.__setitem__(k, out))
    network(data.images, data.rows)
    for i in range(4):
        one, two = seen["mask", i], seen["map.against", i]
        assert one.shape == two.shape
        assert (one - two).abs().mean() > 0.01
        assert 0 < one.min() < one.max() < 1
    losses(network, data)["mask"].backward()
    reached = {
        n.split(".")[1] for n, p in network.masks.named_parameters(prefix="m") if p.grad is not None
    }
    assert reached == {"to_mask"}


@pytest.mark.parametrize("system", [*JOINT, "stl"])
@pytest.mark.parametrize(("dims", "side"), [(2, (17, 30)), (3, (12, 17, 16))])
def test_outputs_have_the_size_of_the_images(system, dims, side) -> None:
    targets = TARGETS[:1] if system == "stl" else TARGETS
    network = make(system, targets, dims=dims)
    data = batch(0, size=3, side=side, missing={"mask": [1], "label": []})
    outputs = network(data.images, data.rows)
    expected = {t.name: (3, t.channels, *(side if t.layout == "pixels" else ())) for t in targets}
    expected["mask"] = (1, 1, *side)
    expected.pop("label", None)
    assert {name: tuple(out.shape) for name, out in outputs.items()} == expected


@pytest.mark.parametrize("system", [*JOINT, "stl"])
def test_a_row_depends_on_its_own_image_only(system) -> None:
    network = make(system, TARGETS[:1] if system == "stl" else TARGETS).eval()
    open_gates(network)
    data = batch(0)
    whole = network(data.images, data.rows)
    rows = torch.tensor([4, 1])
    some = network(data.images, dict.fromkeys(data.rows, rows))
    for name in whole:
        torch.testing.assert_close(some[name], whole[name][rows], rtol=1e-4, atol=1e-5)


def test_parts_of_one_name_begin_the_same_everywhere() -> None:
    state = torch.random.get_rng_state()
    networks = [make(system) for system in JOINT] + [make("stl", [t]) for t in TARGETS]
    networks.append(make("hps", [AGAINST, LABEL]))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights: dict[str, torch.Tensor] = {}
    for network in networks:
        for name, value in network.state_dict().items():
            assert torch.equal(weights.setdefault(name, value), value), name
    other = make("hps", seed=1).state_dict()
    assert not torch.equal(other["encoder.stem.0.weight"], weights["encoder.stem.0.weight"])


def test_group_normalisation_is_everywhere() -> None:
    kinds = {type(m).__name__ for m in make("mtan").modules()}
    assert "GroupNorm" in kinds
    assert "BatchNorm2d" not in kinds
    assert "BatchNorm3d" in {type(m).__name__ for m in make("mtan", norm="batch", dims=3).modules()}


@pytest.mark.parametrize(
    ("like", "backbone"), [("hps", "resnet10"), ("mtan", "resnet18"), ("ctan", "resnet50")]
)
def test_wide_networks_have_the_parameters_of_another_system(like, backbone) -> None:
    kind, wide = SYSTEMS[like], SYSTEMS["stl_wide"]
    wanted = kind.parameters(TARGETS, kind.options(width=8, backbone=backbone))
    assert wanted == parameters(make(like, backbone=backbone))
    options = wide.options(width=8, backbone=backbone, like=like)
    assert options.trainings(NAMES) == [[name] for name in NAMES]
    for target in (MASK, VALUE):
        network = wide.network([target], options, 0, parameters=wanted)
        assert parameters(network) == pytest.approx(wanted, rel=0.02)
        data = batch(0)
        assert set(network(data.images, data.rows)) == {target.name}


def test_no_width_fits_what_is_smaller_than_the_smallest() -> None:
    wide = SYSTEMS["stl_wide"]
    with pytest.raises(ConfigError, match="no single-task network has 50 parameters"):
        wide.network([MASK], wide.options(like="hps"), 0, parameters=50)


def test_trainings_are_joint_or_one_a_target() -> None:
    for name in JOINT:
        assert SYSTEMS[name].options().trainings(NAMES) == [NAMES]
    scratch = SYSTEMS["ums_rep"].options(strategy="scratch")
    assert scratch.trainings(NAMES) == [[name] for name in NAMES]
    assert SYSTEMS["pairs"].options().trainings("abc") == [["a", "b"], ["a", "c"], ["b", "c"]]


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ([MASK], {}, "needs two of them, not only mask"),
        ([LABEL, VALUE], {"stages": (3,)}, r"no target receives anything(.|\n)*stage 4"),
        ([MASK, AGAINST], {"receivers": "vectors"}, "receivers: vectors"),
    ],
)
def test_attention_without_anyone_to_attend_is_refused(targets, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make("ctan", targets, **options)


def test_a_representation_is_taken_over_whole_or_not() -> None:
    noise = make("ums_rep", [AGAINST], seed=7)
    weights = noise.state_dict()
    network = make("ums_rep")
    start_from(network, weights)
    after = network.state_dict()
    own = make("ums_rep").state_dict()
    for name, value in after.items():
        taken = name in weights
        assert torch.equal(value, weights[name] if taken else own[name]), name
    assert "decoders.to_map/against.out.weight" in weights
    with pytest.raises(DataError, match=r"encoder.stem.0.weight of the representation is \(12, 1"):
        start_from(network, make("ums_rep", [AGAINST], width=12).state_dict())
    with pytest.raises(DataError, match=r"has no encoder.stem.0.weight"):
        start_from(network, {})
    assert all(torch.equal(v, after[n]) for n, v in network.state_dict().items())


def test_a_representation_in_colour_does_the_same_to_grey_images() -> None:
    """Sets of one modality are grey or in colour; of three planes that are alike one is left."""
    colour = make("ums_rep", [replace(AGAINST, channels=3)], seed=7, channels=3)
    grey = make("ums_rep", [AGAINST])
    start_from(grey, colour.state_dict())
    images, rows = torch.rand(4, 1, 32, 32), {AGAINST.name: torch.arange(4)}
    outputs = [
        n(x, rows)[AGAINST.name]
        for n, x in ((grey, images), (colour, images.expand(-1, 3, -1, -1)))
    ]
    torch.testing.assert_close(outputs[0], outputs[1].mean(dim=1, keepdim=True))


def test_options_are_read_without_torch() -> None:
    code = "import sys, medtaskatlas.multitask.systems; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
