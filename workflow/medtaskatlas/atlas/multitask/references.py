"""What a system is compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

# Name of a configured system to its options, `system` (its kind) and `weighting` among them.
Systems = Mapping[str, Mapping[str, Any]]
# Kinds of systems that have a control: its parameters without its idea.
CONTROLS = {"ctan": "ctan_self"}
MISSING = {
    "stl": "no system of the kind stl",
    "stl_wide": "no system of the kind stl_wide that is as wide as this one",
    "hps": "no system of the kind hps with the weighting `tuned`",
    "control": "no control of this system",
}


def compared(system: str, systems: Systems) -> tuple[str, ...]:
    """Kinds of reference that a system is compared with; baselines with lesser ones alone."""
    kind = systems[system]["system"]
    if kind == "stl":
        return ()
    if kind == "stl_wide":
        return ("stl",)
    if _is_tuned(systems[system]):
        return ("stl", "stl_wide")
    return ("stl", "stl_wide", "hps", *(("control",) if kind in CONTROLS else ()))


def reference_of(
    system: str, reference_kind: str, systems: Systems, there: Collection[str]
) -> str | None:
    """The reference of a system among those that a problem has; None where there is none."""
    own = systems[system]

    def suits(name: str) -> bool:
        other = systems[name]
        if reference_kind == "hps":
            return _is_tuned(other)
        if reference_kind == "stl_wide":
            if other["system"] != "stl_wide":
                return False
            return other["like"] == system or _network(systems[other["like"]]) == _network(own)
        if reference_kind == "control":
            # The control of the same weighting: what differs is the idea alone.
            same = other.get("weighting") == own.get("weighting")
            return other["system"] == CONTROLS[own["system"]] and same
        return bool(other["system"] == reference_kind)

    return next((name for name in systems if name in there and suits(name)), None)


def _network(options: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the number of parameters: not the weighting, and a control has as many."""
    kinds = {control: kind for kind, control in CONTROLS.items()}
    own = {k: v for k, v in options.items() if k not in ("weighting", "problems")}
    return own | {"system": kinds.get(own["system"], own["system"])}


def _is_tuned(options: Mapping[str, Any]) -> bool:
    """Whether this is hard sharing with tuned fixed weights."""
    return options["system"] == "hps" and options.get("weighting") == "tuned"
