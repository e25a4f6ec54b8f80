"""The control of cross-task attention: the same parameters, and each target attends to itself.

It parts what targets tell each other from what the capacity of the attention brings.
"""

from typing import ClassVar

from medtaskatlas.multitask.systems.ctan import Ctan


class CtanSelf(Ctan):
    """Attention of each target to its own keys and values."""

    alone: ClassVar[bool] = True


network = CtanSelf
