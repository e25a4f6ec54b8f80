"""What pre-training and adaptation share: options of the engine, and what a state is of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.files import sha256
from medtaskatlas.learning.options import Training
from medtaskatlas.medformer.options import Medformer


def engine_options(options: Medformer, steps: int, *, validated: bool = True) -> Training:
    """Options of the engine; where it is validated, the best look decides what stays."""
    own = {name: getattr(options, name) for name in Training.model_fields}
    looks = steps // options.look_every + 1
    patience = (options.patience or looks) if validated else 0
    return Training.model_validate(own | {"steps": steps, "patience": patience})


def fingerprint(facts: Any, files: Sequence[str | Path], modules: Sequence[str]) -> str:
    """Hash of all that decides the weights: options, data and code."""
    code = code_hash(__name__, "medtaskatlas.medformer.train", *modules)
    content = [sha256(Path(file)) for file in files]
    text = json.dumps([facts, content, torch.__version__, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
