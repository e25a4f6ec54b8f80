"""Problems: datasets whose images have several targets, and how they are split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medtaskatlas.core.errors import ConfigError, DataError, nearest
from medtaskatlas.core.seeds import generator
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Offer, Target

# Joined to a dataset's only target by `problems: auto`: it needs nothing but the images.
COMPANION = "denoising_gaussian"
Kinds = Mapping[str, type[Target]]


@dataclass(frozen=True)
class Problem:
    """What is learned at once, of which images."""

    name: str
    datasets: tuple[str, ...]
    targets: tuple[str, ...]
    folds: int | None = None
    volumes: bool = False

    def facts(self) -> dict[str, Any]:
        """All of it, JSON-able, as rules hand it to scripts; :meth:`from_facts` makes it again."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Problem:
        """Problem from its facts."""
        tuples = {key: tuple(facts[key]) for key in ("datasets", "targets")}
        return cls(**{**facts, **tuples})


def offers_of(annotations: Annotations, kinds: Kinds) -> dict[str, Offer]:
    """Targets that a dataset offers, by name.

    Raises
    ------
    ConfigError
        If two kinds offer targets of one name, or a map or value has no unit.
    """
    found: dict[str, Offer] = {}
    for kind in kinds.values():
        for offer in kind.offers(annotations):
            if offer.target in found:
                raise ConfigError(
                    f"{annotations.dataset}: two targets are called {offer.target}, of the kinds "
                    f"{found[offer.target].kind} and {offer.kind}",
                    "give the target of your own kind another name",
                )
            if offer.kind in {"map", "value"} and not offer.unit:
                raise ConfigError(
                    f"{annotations.dataset}: {offer.target} has no unit",
                    "write its `unit` in dataset.yaml, or `1` where it has none by nature",
                )
            found[offer.target] = offer
    return found


def split_apart(name: str, others: Iterable[str], datasets: Mapping[str, Dataset]) -> list[str]:
    """Those of other datasets whose training images may be test images of a dataset."""
    own = datasets[name]
    return [
        other
        for other in others
        if own.overlapping(datasets[other]) and not own.split_like(datasets[other])
    ]


def check_targets(
    problem: Problem, annotations: Sequence[Annotations], kinds: Kinds
) -> dict[str, Offer]:
    """Offers of a problem's targets, by name.

    Raises
    ------
    ConfigError
        If no dataset offers a target, or a dataset none of
        them; if datasets disagree about a target's kind, classes or unit.
    """
    key = f"multitask.problems.{problem.name}"
    offers = {a.dataset: offers_of(a, kinds) for a in annotations}
    every = {name for offer in offers.values() for name in offer}
    found: dict[str, Offer] = {}
    for target in problem.targets:
        having = {dataset: offer[target] for dataset, offer in offers.items() if target in offer}
        if not having:
            raise ConfigError(
                f"config: {key}.targets: {', '.join(problem.datasets)} has no target {target!r}",
                nearest(target, every),
            )
        if len(set(having.values())) > 1:
            raise ConfigError(
                f"config: {key}.targets: {target!r} is not the same in "
                + " and ".join(
                    f"{d} ({', '.join(o.classes) or o.unit or o.kind})" for d, o in having.items()
                ),
                "name datasets with the same classes in the same order, and the same unit",
            )
        found[target] = next(iter(having.values()))
    for dataset, offer in offers.items():
        if not set(offer) & set(problem.targets):
            raise ConfigError(
                f"config: {key}.datasets: {dataset} has none of {', '.join(problem.targets)}",
                f"leave it out, or name one of {', '.join(sorted(offer))}",
            )
    return found


def assign_folds(units: Sequence[str], strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each image: whole units (subjects or groups), each stratum spread evenly.

    Parameters
    ----------
    units
        Subjects, which are not parted, [N].
    strata
        Label of each image from 0, int64 [N]; a unit has the one that most of its images have.
    folds
        Number of folds.
    seed
        The run's seed.

    Returns
    -------
    numpy.ndarray
        int64 [N] of 0 to ``folds`` - 1.

    Raises
    ------
    DataError
        If there are fewer of them than folds.
    """
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    if len(names) < folds:
        raise DataError(
            f"{len(names)} subjects make no {folds} folds", "give fewer `folds`, or none"
        )
    stratum = [int(np.bincount(strata[unit == i]).argmax()) for i in range(len(names))]
    order = generator(seed, "folds").permutation(len(names))
    # Rare strata first; each goes on where the one before it ended, so that sizes stay even.
    counts = np.bincount(stratum)
    dealt = sorted(order, key=lambda i: (counts[stratum[i]], stratum[i]))
    fold = np.empty(len(names), np.int64)
    fold[dealt] = np.arange(len(names)) % folds
    return fold[unit]


def splits_of_fold(fold_of: np.ndarray, fold: int) -> dict[str, np.ndarray]:
    """Rows of the splits where one fold is measured on: the next one is for choices."""
    after = (fold + 1) % (int(fold_of.max()) + 1)
    return {
        "test": np.flatnonzero(fold_of == fold),
        "val": np.flatnonzero(fold_of == after),
        "train": np.flatnonzero((fold_of != fold) & (fold_of != after)),
    }
