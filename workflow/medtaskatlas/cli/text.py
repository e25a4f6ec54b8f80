"""Filters and counts that the commands share."""

from __future__ import annotations

from collections.abc import Iterable

from medtaskatlas.core.errors import ConfigError, nearest


def check_filter(option: str, values: Iterable[str] | None, valid: Iterable[str]) -> None:
    """Refuse a value that a filter does not have, with the nearest valid ones."""
    valid = set(valid)
    for value in values or ():
        if value not in valid:
            remedy = f"{nearest(value, valid)} Type one of them after {option}"
            raise ConfigError(f"{option}: {value!r} is unknown", remedy)


def counted(**counts: int) -> str:
    """Numbers of things in words."""
    return ", ".join(f"{n} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
