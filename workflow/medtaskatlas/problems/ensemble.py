"""Trained networks of a system that are averaged, whatever the system is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.problems.evaluate import Forward
from medtaskatlas.problems.targets.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG, MODEL = "config.json", "model.safetensors"
AGAIN = "train the system again with this version, or use the version that trained it"


@dataclass(frozen=True)
class Member:
    """Outputs of one network, and the targets that it speaks for."""

    forward: Forward
    targets: dict[str, Target]


@dataclass(frozen=True)
class Ensemble:
    """All networks of a system, or of one of its seeds.

    Attributes
    ----------
    folders
        Of the seeds.
    names
        Targets, in order.
    size, channels
        Pixels of an image along each axis; 1 of grey images, 3 of colour.
    preparation
        How training images were made; see
        :meth:`~medtaskatlas.problems.images.ProblemImages.preparation`.
    members
        The networks.
    seeds, folds
        Whose networks are averaged; fold -1: the images' own splits.
    facts
        What else is to be written down with predictions, JSON-able.
    """

    folders: list[Path]
    names: Sequence[str]
    size: tuple[int, ...]
    channels: int
    preparation: Mapping[str, Any]
    members: list[Member]
    seeds: list[int]
    folds: list[int] = field(default_factory=lambda: [-1])
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> dict[str, Target]:
        """Each target in order, as the first network has it."""
        found: dict[str, Target] = {}
        for member in self.members:
            found = member.targets | found
        return {name: found[name] for name in self.names}

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the networks say on average.

        Parameters
        ----------
        images
            uint8 [n, C, *S].

        Returns
        -------
        dict of str to numpy.ndarray
            See :meth:`~medtaskatlas.problems.targets.target.Target.prediction`. A task of the bank
            with an input of its own is applied to the images as they are.
        """
        import torch

        seen, every = torch.from_numpy(images).float() / 255, torch.arange(len(images))
        sums: dict[str, np.ndarray] = {}
        counts = dict.fromkeys(self.targets, 0)
        for member in self.members:
            # As in training: targets with another input are no rows of the same image.
            for kind in {target.input for target in member.targets.values()}:
                names = [name for name, target in member.targets.items() if target.input == kind]
                outputs = member.forward(seen, dict.fromkeys(names, every))
                for name in names:
                    belief = member.targets[name].belief(outputs[name].cpu().float())
                    sums[name] = sums[name] + belief if name in sums else belief
                    counts[name] += 1
        return {
            name: target.decided(sums[name] / counts[name] if counts[name] > 1 else sums[name])
            for name, target in self.targets.items()
        }

    def check_mean(self) -> None:
        """Refuse to average what is known by its classes only, or differs in them."""
        import torch

        for name, target in self.targets.items():
            others = [member.targets[name] for member in self.members if name in member.targets]
            classes = {getattr(other, "classes", ()) for other in others}
            if len(classes) > 1:
                raise DataError(
                    f"{self.folders[0].parent}: networks differ in the classes of {name}",
                    "name one seed alone",
                )
            own = type(target)
            shape = (1, target.channels, *self.size)[: None if target.layout == "pixels" else 2]
            belief = target.belief(torch.zeros(shape))
            if len(others) > 1 and belief.dtype.kind != "f":
                raise ConfigError(
                    f"target {name}: predictions of {own.kind} are {belief.dtype}, which have no "
                    "mean",
                    "name one seed of a system without folds, or give its kind the methods "
                    "`belief` and `decided`",
                )


def by_number(folders: Sequence[Path]) -> list[Path]:
    """Folders seed<k> by k."""
    return sorted(folders, key=lambda path: (len(path.name), path.name))


def check_alike(
    folders: Sequence[Path], facts: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> None:
    """Refuse to average seeds that differ in what they must have in common."""
    for folder, own in zip(folders, facts, strict=True):
        for key in keys:
            if key not in own:
                raise DataError(f"{folder / CONFIG}: key {key} is missing", AGAIN)
            if own[key] != facts[0][key]:
                raise DataError(
                    f"{folder / CONFIG} and {folders[0] / CONFIG} differ in {key}",
                    f"name one of them alone: {folder}",
                )


def misfit(folder: Path, error: Exception) -> DataError:
    """Error of a config.json whose keys are those of another version."""
    said = str(error).splitlines()[0]
    return DataError(f"{folder / CONFIG}: its keys do not fit this version ({said})", AGAIN)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Weights of a seed."""
    from medtaskatlas.learning.checkpoint import load_tensors

    try:
        return load_tensors(folder / MODEL)[0]
    except ValueError as error:
        raise DataError(str(error), "start the run again: it is made anew") from error


def restored(network: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> nn.Module:
    """A network with its weights, ready to be asked."""
    from medtaskatlas.learning.machine import pick_device

    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(f"{folder / MODEL} does not fit {CONFIG}: {error}", AGAIN) from error
    return network.to(pick_device()).eval()
