"""Single-task networks: the encoder and the decoder of hard sharing, trained for one target."""

from medtaskatlas.multitask.network import MultitaskNetwork as network  # noqa: N813

__all__ = ["network"]
