"""The pretexts: a line each here and a file each beside; picture tasks of the bank by their names.

Only a job that trains imports a file, and torch with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.picture import Picture

if TYPE_CHECKING:
    from medtaskatlas.medformer.pretexts.pretext import Pretext

PRETEXTS = {
    "masked": "Masked",
    "turns": "Turns",
    "contrast": "Contrast",
    "projection": "Projection",
}
BANK = "bank"  # the file of all tasks of the bank


def module_of(name: str) -> str:
    """File of a pretext.

    Raises
    ------
    ConfigError
        If there is none of this name, nor a picture task of the bank.
    """
    if name in PRETEXTS:
        return name
    tasks = [offer.target for offer in Picture.offers(Annotations("", coloured=True))]
    if name not in tasks:
        raise ConfigError(
            f"medformer: no pretext is called {name!r}", nearest(name, [*PRETEXTS, *tasks])
        )
    return BANK


def pretext_of(name: str) -> Pretext:
    """Pretext of a name."""
    module = import_module(f"{__name__}.{module_of(name)}")
    made: Pretext = getattr(module, PRETEXTS.get(name, "BankTask"))(name)
    return made
