"""A part of the configuration: unknown keys are errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    # Defaults are validated too, so that a value is the same whether written out or left out.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
