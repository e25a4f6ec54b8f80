"""Training state in safetensors: exact, whole or absent, and never unpickled."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from medtaskatlas.core.files import atomic_write, remove_temporary_files
from medtaskatlas.learning.cost import Cost
from medtaskatlas.learning.history import History

LOGGER = logging.getLogger("medtaskatlas")


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write tensors by name, and JSON-able facts in the file's header."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    # Its own `save_file` writes under a third name, which a kill would leave behind.
    content = save(plain, metadata={"medtaskatlas": json.dumps(facts, sort_keys=True)})
    with atomic_write(path) as part:
        part.write_bytes(content)


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote, to the CPU; ValueError if it is damaged or foreign."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["medtaskatlas"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged or not of medtaskatlas: {error}") from error


@dataclass
class TrainingState:
    """All that training needs to go on exactly."""

    model: nn.Module
    loss_state: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: Any  # the precision: its numbers, by which half precision scales gradients
    history: History
    cost: Cost = field(default_factory=Cost)
    best: dict[str, torch.Tensor] = field(default_factory=dict)  # weights of the best validation

    def keep_best(self) -> None:
        """Copy the weights as the best ones."""
        self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Make the best weights those of the model, if there was a validation."""
        if self.best:
            self.model.load_state_dict(self.best)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors by name: model., loss_state., best., optimiser. and history."""
        self.history.read()
        found = self._modules() | {f"best.{k}": v for k, v in self.best.items()}
        for i, values in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{i}.{k}": v for k, v in values.items()}
        found["history.losses"] = _numbers(self.history.losses)
        found |= {f"history.parts.{k}": _numbers(v) for k, v in self.history.parts.items()}
        found["history.validated"] = torch.tensor(list(self.history.scores), dtype=torch.int64)
        found["history.scores"] = _numbers(list(self.history.scores.values()))
        return found

    def misfit(self, tensors: dict[str, torch.Tensor]) -> str | None:
        """First name or shape with which tensors are of another architecture; None where none."""
        for name, own in self._modules().items():
            if name not in tensors:
                return f"it has no {name}"
            if tensors[name].shape != own.shape:
                return f"{name} is {tuple(tensors[name].shape)}, not {tuple(own.shape)}"
        missing = {"history.losses", "history.validated", "history.scores"} - tensors.keys()
        return f"it has no {sorted(missing)[0]}" if missing else None

    def load(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take up what :meth:`tensors` gave, and facts of a checkpoint."""
        self.model.load_state_dict(_under("model.", tensors))
        self.loss_state.load_state_dict(_under("loss_state.", tensors))
        self.best = _under("best.", tensors)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.history.losses = tensors["history.losses"].tolist()
        parts = _under("history.parts.", tensors)
        self.history.parts = {name: parts[name].tolist() for name in facts["parts"]}
        validated, scores = tensors["history.validated"], tensors["history.scores"]
        self.history.scores = dict(zip(validated.tolist(), scores.tolist(), strict=True))
        self.scaler.load_state_dict(facts["scaler"])
        self.cost = Cost(**facts["cost"])

    def facts(self) -> dict[str, Any]:
        """What is no tensor, JSON-able."""
        return {
            "scaler": self.scaler.state_dict(),
            "cost": asdict(self.cost),
            "parts": list(self.history.parts),
        }

    def _modules(self) -> dict[str, torch.Tensor]:
        """Tensors of the model and of the loss."""
        own = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return own | {f"loss_state.{k}": v for k, v in self.loss_state.state_dict().items()}


@dataclass(frozen=True)
class Checkpoint:
    """A file with the state; the fingerprint names data, options and code of its training."""

    path: str | Path
    fingerprint: str

    def save(self, state: TrainingState) -> None:
        """Write all that training needs to go on exactly."""
        facts = {"fingerprint": self.fingerprint, **state.facts()}
        save_tensors(self.path, state.tensors(), facts)

    def load(self, state: TrainingState) -> bool:
        """Take up the checkpoint of this very training, if there is one; whether there was."""
        # What a kill left amid the last one would stay for ever if there were no next one.
        remove_temporary_files(self.path)
        if not Path(self.path).is_file():
            return False
        try:
            tensors, facts = load_tensors(self.path)
        except ValueError as error:
            return self._pass_over(str(error))
        if facts.get("fingerprint") != self.fingerprint:
            return self._pass_over("it is of other data, options or code")
        misfit = state.misfit(tensors)
        if misfit:
            return self._pass_over(misfit)
        state.load(tensors, facts)
        return True

    def _pass_over(self, reason: str) -> bool:
        LOGGER.warning("%s is passed over, training begins anew: %s", self.path, reason)
        return False


def _numbers(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors whose name begins with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
