"""Hard parameter sharing: one encoder, and a decoder a target (Caruana, 1997)."""

from medtaskatlas.multitask.network import MultitaskNetwork as network  # noqa: N813

__all__ = ["network"]
