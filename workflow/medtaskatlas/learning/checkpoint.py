"""Training state in safetensors: exact, whole or absent, and never unpickled."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from medtaskatlas.core.files import atomic_write, remove_temporary_files

if TYPE_CHECKING:
    from medtaskatlas.learning.state import TrainingState

LOGGER = logging.getLogger("medtaskatlas")


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

    Raises
    ------
    DataError
        If the disk is full or the folder cannot be written; a file that was there stays.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    # Its own `save_file` writes under a third name, which a kill would leave behind.
    content = save(plain, metadata={"medtaskatlas": json.dumps(facts, sort_keys=True)})
    with atomic_write(path) as part:
        part.write_bytes(content)


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

    def save(self, state: TrainingState) -> None:
        """Write all that training needs to go on exactly.

        Parameters
        ----------
        state
            What is being trained.
        """
        facts = {"fingerprint": self.fingerprint, **state.facts()}
        save_tensors(self.path, state.tensors(), facts)

    def load(self, state: TrainingState) -> bool:
        """Take up the checkpoint, if there is one of this very training.

        One that is damaged, of another training or of another architecture is passed over with a
        warning in the log: training then begins anew.

        Parameters
        ----------
        state
            Changed in place, wholly or not at all.

        Returns
        -------
        bool
            Whether there was something to take up.
        """
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
        """Say why the checkpoint is of no use."""
        LOGGER.warning("%s is passed over, training begins anew: %s", self.path, reason)
        return False
