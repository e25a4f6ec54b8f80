"""All kinds of encoders: every file here is one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Union

from pydantic import Field

from medtaskatlas.encoders.kind import EncoderKind


def _kinds() -> dict[str, type[EncoderKind]]:
    """Name to kind, by name."""
    found: dict[str, type[EncoderKind]] = {}
    for name in sorted(module.name for module in iter_modules(__path__)):
        module = import_module(f"{__name__}.{name}")
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, EncoderKind):
                kind = thing.model_fields["kind"].default
                # Bases have no name of their own.
                if isinstance(kind, str) and thing.__module__ == module.__name__:
                    found[kind] = thing
    return found


KINDS = _kinds()
# For the type checker an encoder is any kind; at run time the union of all that were found.
Encoder: Any = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007


def encoder_of(options: dict[str, Any]) -> EncoderKind:
    """Encoder from :meth:`EncoderKind.options`, as rules hand them on and files keep them."""
    return KINDS[options["kind"]].model_validate(options)
