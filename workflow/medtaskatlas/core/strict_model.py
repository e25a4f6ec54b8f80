"""A part of the configuration: unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from medtaskatlas.core.files import one_spelling

# A folder that a user names; typed otherwise it is the same.
Folder = Annotated[Path, AfterValidator(lambda path: Path(one_spelling(path)))]

# Within braces of `--config` Snakemake hands on numbers as text, which a choice of numbers refuses.
DIGITS = BeforeValidator(lambda v: int(v) if isinstance(v, str) and v.isdecimal() else v)


class StrictModel(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    # Defaults are validated too, so that a value is the same whether written out or left out.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def submodels(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Keys of a section that are sections themselves, or may be among other types."""
    found = {}
    for key, field in section.model_fields.items():
        hints: tuple[Any, ...] = (field.annotation, *get_args(field.annotation))
        for hint in hints:
            if isinstance(hint, type) and issubclass(hint, BaseModel):
                found[key] = hint
    return found
