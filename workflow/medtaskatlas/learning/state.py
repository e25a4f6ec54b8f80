"""All that training needs to go on exactly, as tensors by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from medtaskatlas.learning.history import History


class Scaler(Protocol):
    """What half precision scales its gradients with."""

    def state_dict(self) -> dict[str, Any]:
        """Numbers by name; empty where nothing is scaled."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up."""


@dataclass
class TrainingState:
    """What is being trained.

    Attributes
    ----------
    network
        The model.
    criterion
        The loss, with its classifier and its memory.
    optimiser
        Of both.
    history
        Losses and looks.
    scaler
        The precision.
    best
        Weights of the best look; empty before any.
    """

    network: nn.Module
    criterion: nn.Module
    optimiser: torch.optim.Optimizer
    history: History
    scaler: Scaler
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def keep_best(self) -> None:
        """Copy the weights as the best ones."""
        self.best = {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}

    def restore_best(self) -> None:
        """Make the best weights those of the network, if there was a look."""
        if self.best:
            self.network.load_state_dict(self.best)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Name to tensor.

        Returns
        -------
        dict
            Names begin with network., criterion., best., optimiser. or history.
        """
        self.history.read()
        looks = self.history.looks
        found = self._modules()
        found |= {f"best.{k}": v for k, v in self.best.items()}
        for i, values in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{i}.{k}": v for k, v in values.items()}
        found["history.losses"] = torch.tensor(self.history.losses, dtype=torch.float64)
        found["history.looks"] = torch.tensor(list(looks), dtype=torch.int64)
        found["history.accuracy"] = torch.tensor(list(looks.values()), dtype=torch.float64)
        return found

    def facts(self) -> dict[str, Any]:
        """Numbers that are no tensors.

        Returns
        -------
        dict
            JSON-able.
        """
        return {"scaler": self.scaler.state_dict()}

    def misfit(self, tensors: dict[str, torch.Tensor]) -> str | None:
        """Why tensors are not of this architecture.

        Parameters
        ----------
        tensors
            As :meth:`tensors` gave them.

        Returns
        -------
        str or None
            The first name or shape that is not as it should be; None where they fit.
        """
        for name, own in self._modules().items():
            if name not in tensors:
                return f"it has no {name}"
            if tensors[name].shape != own.shape:
                return f"{name} is {tuple(tensors[name].shape)}, not {tuple(own.shape)}"
        missing = {"history.losses", "history.looks", "history.accuracy"} - tensors.keys()
        return f"it has no {sorted(missing)[0]}" if missing else None

    def load(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take up what :meth:`tensors` and :meth:`facts` gave.

        Parameters
        ----------
        tensors, facts
            The state.
        """
        self.network.load_state_dict(_under("network.", tensors))
        self.criterion.load_state_dict(_under("criterion.", tensors))
        self.best = _under("best.", tensors)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.history.losses = tensors["history.losses"].tolist()
        looks, accuracy = tensors["history.looks"].tolist(), tensors["history.accuracy"].tolist()
        self.history.looks = dict(zip(looks, accuracy, strict=True))
        self.scaler.load_state_dict(facts["scaler"])

    def _modules(self) -> dict[str, torch.Tensor]:
        """Tensors of the network and the criterion."""
        own = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        return own | {f"criterion.{k}": v for k, v in self.criterion.state_dict().items()}


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors whose name begins with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
