"""The multi-task systems: a line each here, and a file each beside this one.

A file has a function ``network(targets, options, seed, *, channels, dims)``. Only a job that needs
a network imports it, and torch with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from medtaskatlas.multitask.systems import options as o

if TYPE_CHECKING:
    from medtaskatlas.multitask.network import MultitaskNetwork, Output


@dataclass(frozen=True)
class System:
    """A way to learn several targets: the module that makes its network, and its options."""

    module: str
    options: type[o.NetworkOptions] = o.NetworkOptions

    def network(
        self,
        targets: Sequence[Output],
        options: o.NetworkOptions,
        seed: int,
        *,
        channels: int = 1,
        dims: int = 2,
        **more: Any,
    ) -> MultitaskNetwork:
        """Network of one training.

        Parameters
        ----------
        targets
            Those of the training.
        options
            Of the class :attr:`options`.
        seed
            Of the initial weights.
        channels, dims
            Channels of the images, and 2 or 3 dimensions.
        more
            ``parameters``, which ``stl_wide`` needs; see its module.

        Raises
        ------
        ConfigError
            If the options do not fit the targets.
        """
        module = import_module(f"{__name__}.{self.module}")
        return module.network(targets, options, seed, channels=channels, dims=dims, **more)

    def parameters(
        self,
        targets: Sequence[Output],
        options: o.NetworkOptions,
        *,
        channels: int = 1,
        dims: int = 2,
    ) -> int:
        """Number of parameters of :meth:`network`, without its memory."""
        import torch

        from medtaskatlas.multitask.network import parameters

        with torch.device("meta"):
            return parameters(self.network(targets, options, 0, channels=channels, dims=dims))


SYSTEMS = {
    "stl": System("stl", o.StlOptions),
    "stl_wide": System("stl_wide", o.StlWideOptions),
    "hps": System("hps"),
    "pairs": System("hps", o.PairsOptions),
    "mtan": System("mtan"),
    "ctan": System("ctan", o.CtanOptions),
    "ctan_self": System("ctan_self", o.CtanOptions),
    "ums_rep": System("ums_rep", o.UmsRepOptions),
}
