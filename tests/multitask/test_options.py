"""Section `multitask` of the configuration."""

from contextlib import nullcontext
from typing import get_args

import pytest
from pydantic import ValidationError

from medtaskatlas.multitask import options
from medtaskatlas.multitask.options import Multitask, WeightingName
from medtaskatlas.multitask.weighting import Aggregation, weighting_of


def section(**keys):
    return Multitask.model_validate({"systems": {"stl": {}, "hps": {}}, **keys})


def test_half_precision_goes_with_scalarisers_alone():
    """Its scaler divides gradients that an aggregator has never let it multiply."""
    for name in set(get_args(WeightingName)) - set(options.EXTRAS):
        given = {"systems": {"hps": {"weighting": name}}, "precision": "16-mixed"}
        joins = isinstance(weighting_of(name, ["a", "b"], epoch=1), Aggregation)
        with pytest.raises(ValidationError, match="16-mixed") if joins else nullcontext():
            Multitask.model_validate(given)


def test_a_system_is_called_like_its_architecture_and_null_drops_it():
    systems = {"hps": {}, "ours": {"system": "ctan", "heads": 2}, "mtan": None}
    found = section(systems=systems, width=8)
    assert list(found.systems) == ["hps", "ours"]
    assert found.systems["hps"].system == "hps"
    network = found.network_options("ours")
    assert (network.heads, network.width) == (2, 8)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"systems": {"hsp": {}}}, "'hsp' is none; did you mean hps"),
        ({"systems": {}}, "`systems` is empty"),
        ({"systems": {"ctan": {"head": 2}}}, "`systems.ctan.head` is no option of ctan; .*heads"),
        ({"systems": {"ctan": {"heads": 0}}}, "`systems.ctan.heads` Input should be greater"),
        ({"systems": {"stl": {"weighting": "pcgrad"}}}, "trains each target alone"),
        ({"systems": {"stl_wide": {}}}, "`systems.stl_wide.like` is missing"),
        ({"systems": {"stl_wide": {"like": "stl"}, "stl": {}}}, "'stl' is no system that trains"),
        ({"systems": {"hps": {"weighting": "pcgrd"}}}, "pcgrad"),
        ({"systems": {"a-b": {"system": "hps"}}}, "must be letters"),
        ({"problems": {"p": {"datasets": ["a"], "targets": ["mask", "mask"]}}}, "'mask' twice"),
        ({"problems": {"p": {"datasets": ["a"], "targets": ["mask"], "fold": 3}}}, "fold"),
        (
            {
                "problems": {"p": {"datasets": ["a"], "targets": ["mask", "label"]}},
                "systems": {"hps": {"problems": ["q"]}},
            },
            "`systems.hps.problems`: 'q' is none",
        ),
        ({"learning_rates": [0.1, 0.0]}, "above 0"),
        ({"seeds": [1, 1]}, "twice"),
        ({"stpes": 3}, "stpes"),
    ],
)
def test_mistakes_are_named(keys, message):
    with pytest.raises(ValidationError, match=message):
        section(**keys)


def test_a_weighting_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r'cvxpy and ecos.*pip install "torchjd\[nash_mtl\]"'):
        section(systems={"hps": {"weighting": "nash_mtl"}})
    section(systems={"hps": {"weighting": "upgrad"}})


def test_the_weightings_are_those_that_exist():
    pytest.importorskip("torchjd")
    from medtaskatlas.multitask.torchjd_weightings import WEIGHTINGS

    assert {*get_args(WeightingName)} == {*WEIGHTINGS, "tuned"} - {"sum"}
