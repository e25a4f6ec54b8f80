"""Which datasets of the catalogue a run takes, and which of them it holds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.problems.problem import split_apart
from medtaskatlas.run.config import Config, DatasetFilter


def with_own(
    catalogue: Mapping[str, Dataset], own: Mapping[str, Dataset]
) -> tuple[dict[str, Dataset], list[str]]:
    """The catalogue and the user's own datasets, overlaps closed both ways, and messages."""
    for name in own:
        if name in catalogue:
            raise ConfigError(
                f"datasets_dir: {name!r} is the name of a dataset of the catalogue",
                "give your dataset another `name` in its dataset.yaml",
            )
    known = {**catalogue, **own}
    named = [(name, other) for name, dataset in own.items() for other in dataset.overlaps]
    both_ways = [pair for a, b in named if b in known for pair in ((a, b), (b, a))]
    for name in dict.fromkeys(name for name, _ in both_ways):
        others = sorted({other for one, other in both_ways if one == name})
        joined = dict.fromkeys([*known[name].overlaps, *others])
        kept = [other for other in joined if other in known]
        known[name] = known[name].model_copy(update={"overlaps": kept})
    return known, [
        f"{name}: `overlaps` names {other}, which is no known dataset"
        for name, other in named
        if other not in known
    ]


def with_copies(config: Config, known: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Known datasets, and those that a run takes at another size too."""
    copies = {}
    for name, entry in config.sized.items():
        if entry.of is None:
            continue
        if entry.of not in known:
            raise ConfigError(
                f"config: datasets: {name}.of: unknown dataset {entry.of!r}",
                nearest(entry.of, known),
            )
        if name in known:
            raise ConfigError(
                f"config: datasets: {name} is a dataset of its own, not one of {entry.of}",
                f"give another name, such as {entry.of}_{entry.volume_size or entry.image_size}",
            )
        copies[name] = known[entry.of].at_another_size(name)
    return {**known, **copies}


def check_sizes(config: Config, datasets: Mapping[str, Dataset]) -> None:
    """Refuse sizes and copies of the chosen datasets that a run cannot have."""
    sized = {name: entry for name, entry in config.sized.items() if name in datasets}
    parts = ["encoders"] * bool(config.encoders) + ["multitask"] * bool(config.multitask)
    for name, entry in sized.items():
        key = f"config: datasets: {name}"
        if parts and (entry.of or entry.image_size not in {None, config.image_size}):
            why = f"it shows {entry.of} twice" if entry.of else "their images have one size"
            raise ConfigError(
                f"{key}: not with {' and '.join(parts)}, since {why}",
                f"leave {name} out, or run Medformer alone",
            )
        if entry.of and entry.of not in datasets:
            raise ConfigError(
                f"{key}.of: {entry.of} is not among the run's datasets",
                f"name {entry.of} too, or write {{name: {entry.of}, ...}} without `of`",
            )
    seen: dict[tuple[str, int], str] = {}
    for name, dataset in datasets.items():
        volume = config.volume_size_of(name) if dataset.has_volumes else None
        size = dataset.published, volume or config.image_size_of(name)
        if (other := seen.setdefault(size, name)) != name:
            raise ConfigError(
                f"config: datasets: {name} and {other} are {size[0]} at one size, {size[1]}",
                "give them different sizes, or leave one out",
            )


def select_datasets(
    config: Config, catalogue: Mapping[str, Dataset], own: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Datasets that a configuration names, within its licences, and what was left out."""
    wanted = config.datasets
    shared = {name: dataset for name, dataset in catalogue.items() if name not in own}
    if wanted == "all":
        names = list(shared)
    elif isinstance(wanted, DatasetFilter):
        names = _filtered(wanted, shared)
    else:
        names = [entry if isinstance(entry, str) else entry.name for entry in wanted]
        for name in names:
            if name not in catalogue:
                raise ConfigError(
                    f"config: datasets: unknown dataset {name!r}", nearest(name, catalogue)
                )
            if names.count(name) > 1:
                raise ConfigError(f"config: datasets: {name!r} is named twice", "name it once")
    names += [name for name in own if name not in names]
    messages: list[str] = []
    if config.licences is not None:
        allowed = set(config.licences)
        known = {part for d in catalogue.values() for part in licence_parts(d.licence)}
        # Not an error: a list of what is permitted may be longer than what there is.
        messages += [
            f"no dataset has the licence {licence!r}; {nearest(licence, known)}"
            for licence in config.licences
            if not licence_parts(licence) <= known
        ]
        out = [n for n in names if not licence_allowed(catalogue[n].licence, allowed)]
        messages += [f"left out {n}: its licence is {catalogue[n].licence}" for n in out]
        names = [n for n in names if n not in out]
    if not names:
        raise ConfigError(
            "config: `datasets` and `licences` leave no dataset",
            "; ".join(messages) or f"valid names: {', '.join(sorted(catalogue))}",
        )
    return names, messages


def licence_allowed(licence: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression is allowed: as a whole, or all its parts joined by AND."""
    return licence in allowed or licence_parts(licence) <= allowed


def licence_parts(licence: str) -> set[str]:
    """Licences of an SPDX expression joined by AND."""
    return set(licence.split(" AND "))


def _filtered(wanted: DatasetFilter, catalogue: Mapping[str, Dataset]) -> list[str]:
    """Names of the datasets that meet all conditions of a filter."""
    names = list(catalogue)
    for key, values in wanted.model_dump(exclude_none=True).items():
        known = {getattr(dataset, key) for dataset in catalogue.values()}
        for value in values:
            if value not in known:
                raise ConfigError(
                    f"config: datasets.{key}: no dataset has {value!r}", nearest(value, known)
                )
        names = [name for name in names if getattr(catalogue[name], key) in values]
    return names


def heldout_datasets(
    config: Config, chosen: list[str], catalogue: Mapping[str, Dataset]
) -> tuple[list[str], list[str]]:
    """Datasets that no encoder sees in training, with all that overlap them, and messages.

    A held-out dataset that is not among the `chosen`, or that choices were made on, is an error,
    and so is to leave none to train on.
    """
    held = set(config.heldout.datasets)
    for name in config.heldout.datasets:
        if name not in chosen:
            raise ConfigError(
                f"config: heldout.datasets: {name!r} is not among the run's datasets",
                nearest(name, chosen),
            )
    messages = []
    # Overlap is closed: what overlaps an overlapping dataset is held out, too.
    queue = list(config.heldout.datasets)
    while queue:
        name = queue.pop(0)
        for other in chosen:
            if other not in held and catalogue[name].overlapping(catalogue[other]):
                messages.append(f"held out {other} as well: it overlaps {name}")
                held.add(other)
                queue.append(other)
    if known := sorted(held & set(config.development)):
        raise ConfigError(
            f"config: heldout.datasets holds out {', '.join(known)}, which `development` names: "
            "choices were made on it, so that it is not unseen",
            "take it out of heldout.datasets, or what it overlaps; train on it, or leave it out of "
            "the run",
        )
    if len(held) == len(chosen):
        raise ConfigError(
            "config: heldout.datasets holds out every dataset", "leave some to train on"
        )
    messages += [
        f"caution: {name} and {other} share images and are split apart from each other; hold one "
        "out, or leave one out, for unseen groups that are unseen in both"
        for name, other in combinations([name for name in chosen if name not in held], 2)
        if split_apart(name, [other], catalogue)
    ]
    return [name for name in chosen if name in held], messages
