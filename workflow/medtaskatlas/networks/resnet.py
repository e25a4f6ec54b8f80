"""Residual networks of MONAI, without importing the rest of MONAI."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

# No torch here: what a run costs is counted from LAYERS without it.
if TYPE_CHECKING:
    from torch import nn

Backbone = Literal["resnet10", "resnet18", "resnet34", "resnet50", "resnet101"]
# Kind of block and blocks of each stage (He et al., 2016).
LAYERS: dict[str, tuple[str, list[int]]] = {
    "resnet10": ("basic", [1, 1, 1, 1]),
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
}
_FILE = "monai.networks.nets.resnet"
# Packages on the way to it whose own code imports all that lies in them.
_PACKAGES = (
    "monai",
    "monai.apps",
    "monai.networks",
    "monai.networks.blocks",
    "monai.networks.layers",
    "monai.networks.nets",
)
# What monai.utils takes in where it is installed, for its plots: most of the time of the import.
_OPTIONAL = ("matplotlib", "pandas")


def trunk(
    backbone: str,
    width: int,
    stem: int,
    channels: int,
    *,
    dims: int = 2,
    stride: int = 2,
    pooled: bool = True,
) -> tuple[nn.Module, int]:
    """Residual network without its classifier, [B, channels, *S] to [B, features]; and features.

    With a stride of two in the first convolution and pooling behind it, as He et al. (2016) have
    it; MONAI's default of one costs two to four times the time. ``stem`` is the side of the first
    kernel, ``width`` the channels of the first stage, which double each stage.
    """
    block, layers = LAYERS[backbone]
    resnet = monai_resnet()
    planes = [width, 2 * width, 4 * width, 8 * width]
    network = resnet.ResNet(
        block,
        layers,
        planes,
        spatial_dims=dims,
        n_input_channels=channels,
        conv1_t_size=stem,
        conv1_t_stride=stride,
        no_max_pool=not pooled,
        feed_forward=False,
    )
    return network, planes[-1] * (resnet.ResNetBottleneck.expansion if block == "bottleneck" else 1)


@cache
def monai_resnet() -> ModuleType:
    """The module ``monai.networks.nets.resnet``, alone, for a quicker start of jobs."""
    found = find_spec("monai")
    if "monai" in sys.modules or found is None or found.origin is None:
        return import_module(_FILE)
    root = Path(found.origin).parent
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    try:
        # None stands for a package that is not installed.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        for name in _PACKAGES:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = module_from_spec(spec)
        # Its functions say since when they are deprecated.
        vars(sys.modules["monai"])["__version__"] = version("monai")
        return import_module(_FILE)
    finally:
        for name in hidden:
            del sys.modules[name]
        for name in [n for n in sys.modules if n.partition(".")[0] == "monai"]:
            del sys.modules[name]
