"""MONAI's residual network without the rest of MONAI.

``import monai`` imports every module that MONAI has, and with them matplotlib, scipy, transformers
and half of torch's compiler: three quarters of the seconds that a job of training or embedding
takes to start. The file of the network needs few of them. docs/decisions.md has the numbers.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

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


@cache
def monai_resnet() -> ModuleType:
    """The module ``monai.networks.nets.resnet``.

    Who imports MONAI afterwards gets it whole, with classes of its own.

    Returns
    -------
    types.ModuleType
        With ``ResNet``, ``ResNetBlock`` and ``ResNetBottleneck``.

    Raises
    ------
    ModuleNotFoundError
        If MONAI is not installed.
    """
    found = find_spec("monai")
    if "monai" in sys.modules or found is None or found.origin is None:
        return import_module(_FILE)
    root = Path(found.origin).parent
    try:
        for name in _PACKAGES:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = module_from_spec(spec)
        # Its functions say since when they are deprecated.
        vars(sys.modules["monai"])["__version__"] = version("monai")
        return import_module(_FILE)
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "monai"]:
            del sys.modules[name]
