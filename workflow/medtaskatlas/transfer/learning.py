"""What warm starts, shared features and affinity share: pairs, the loss, errors, what is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.files import sha256
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.learning.checkpoint import Checkpoint, load_tensors, save_tensors
from medtaskatlas.learning.machine import pick_device
from medtaskatlas.learning.objective import Objective
from medtaskatlas.transfer.kernel import to_tensor

COLUMNS = ("pair_id", "image_id", "group_id", "subject_id")
EVALUATED = 64  # pairs at once


@dataclass(frozen=True)
class Pairs:
    """Pixels of some pairs, uint8 [N, H, W, 3] each, and their names."""

    inputs: np.ndarray
    outputs: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, pairs: PairSet, rows: np.ndarray) -> Pairs:
        """Some rows of a file."""
        names = pairs.numpy("pair_id")[rows].astype(str).tolist()
        return cls(pairs.side("input", rows), pairs.side("output", rows), names)

    def some(self, rows: np.ndarray) -> Pairs:
        """Those of some rows."""
        return Pairs(self.inputs[rows], self.outputs[rows], [self.names[i] for i in rows])


class DoTask(Objective[Pairs]):
    """From the input of a pair to its output, by the mean square error."""

    def __init__(self, network: nn.Module, batches: Callable[[int], Pairs]) -> None:
        super().__init__(network)
        self.batches = batches

    def batch(self, step: int) -> Pairs:
        """Pairs of a step."""
        return self.batches(step)

    def loss(self, model: Callable[..., Any], batch: Pairs) -> dict[str, torch.Tensor]:
        """Mean square error, grey levels 0..1."""
        device = next(self.model.parameters()).device
        images, wanted = (to_tensor(side).to(device) for side in (batch.inputs, batch.outputs))
        return {"error": (model(images) - wanted).square().mean()}

    def suspects(self, batch: Pairs, part: str | None) -> list[str]:
        """All of its pairs."""
        return batch.names


def errors(network: nn.Module, pairs: Pairs) -> np.ndarray:
    """Mean square error of each pair, grey levels 0..1 and outputs cut to them, float64 [N]."""
    device = pick_device()
    network.to(device).eval()
    found = []
    with torch.inference_mode():
        for i in range(0, len(pairs), EVALUATED):
            part = slice(i, i + EVALUATED)
            done = network(to_tensor(pairs.inputs[part]).to(device)).clamp(0, 1)
            missed = (done - to_tensor(pairs.outputs[part]).to(device)).square()
            found.append(missed.flatten(1).mean(dim=1).double().cpu().numpy())
    network.cpu()
    return np.concatenate(found)


def fingerprint(module: str, files: Sequence[str | Path], *parts: Any) -> str:
    """What trainings depend on: files, code and JSON-able options."""
    own = [*parts, torch.__version__, code_hash(module), [sha256(path) for path in files]]
    return hashlib.sha256(json.dumps(own).encode()).hexdigest()


class Finished:
    """Errors of the trainings of a job that are done, by title: one that was cut off goes on.

    A file that is damaged, or of other data, options or code, is passed over.
    """

    def __init__(self, path: str | Path, fingerprint: str) -> None:
        self.path, self.fingerprint = Path(path), fingerprint
        self._of: dict[str, torch.Tensor] = {}
        if self.path.is_file():
            with suppress(ValueError):
                tensors, facts = load_tensors(self.path)
                self._of = tensors if facts.get("fingerprint") == fingerprint else {}

    def __contains__(self, title: str) -> bool:
        return title in self._of

    def __getitem__(self, title: str) -> np.ndarray:
        return self._of[title].numpy()

    def __setitem__(self, title: str, numbers: np.ndarray) -> None:
        self._of[title] = torch.from_numpy(numbers)
        save_tensors(self.path, self._of, {"fingerprint": self.fingerprint})

    def training(self, title: str) -> Checkpoint:
        """Where the state of the training under way is kept."""
        return Checkpoint(self._under_way, f"{self.fingerprint} {title}")

    @property
    def _under_way(self) -> Path:
        return self.path.with_suffix(f".training{self.path.suffix}")

    def remove(self) -> None:
        """Remove what was kept, once the job's output is written."""
        for path in (self.path, self._under_way):
            path.unlink(missing_ok=True)


def measured_rows(
    pairs: PairSet, asked: np.ndarray, errors: Mapping[str, np.ndarray], **about: str | int
) -> pa.Table:
    """Rows of one training: a test pair each, with its ids, errors [N] and what it is about."""
    n = len(asked)
    return pa.table(
        {name: pa.array([value] * n) for name, value in about.items()}
        | {name: pa.array(pairs.numpy(name)[asked]) for name in COLUMNS}
        | {name: pa.array(values) for name, values in errors.items()}
    )
