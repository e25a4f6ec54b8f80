"""Training state in safetensors: exact, whole or absent, and never unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from medtaskatlas.files import whole_file


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON-able facts.

    Parameters
    ----------
    path
        The file to make.
    tensors
        Name to tensor.
    facts
        Kept in the file's header.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with whole_file(path) as part:
        save_file(plain, part, metadata={"medtaskatlas": json.dumps(facts, sort_keys=True)})


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tensors
        Name to tensor, on the CPU.
    facts
        The facts.

    Raises
    ------
    ValueError
        If the file is damaged or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["medtaskatlas"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged or not of medtaskatlas: {error}") from error


@dataclass(frozen=True)
class Resume:
    """Where a training keeps its state, and which training it is.

    Attributes
    ----------
    path
        The checkpoint; may be absent.
    fingerprint
        Names data, options and code; a checkpoint of another training is never taken up.
    """

    path: str | Path
    fingerprint: str

    def save(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, losses: list[float]
    ) -> None:
        """Write all that training needs to go on exactly.

        Parameters
        ----------
        network, optimiser
            What is being trained.
        losses
            Loss of every step so far; their number is the step to go on from.
        """
        state = optimiser.state_dict()["state"]
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        tensors |= {f"optimiser.{i}.{k}": v for i, s in state.items() for k, v in s.items()}
        tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
        save_tensors(self.path, tensors, {"fingerprint": self.fingerprint})

    def load(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> list[float] | None:
        """Take up the checkpoint, if there is one of this very training.

        Parameters
        ----------
        network, optimiser
            Changed in place.

        Returns
        -------
        list of float or None
            Loss of every step so far; None where there is nothing to take up.
        """
        if not Path(self.path).is_file():
            return None
        try:
            tensors, facts = load_tensors(self.path)
        except ValueError:
            return None
        if facts.get("fingerprint") != self.fingerprint:
            return None
        network.load_state_dict(_under("network.", tensors))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return [float(x) for x in tensors["losses"]]


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors whose name begins with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
