"""The configuration of a command, put together as Snakemake does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from medtaskatlas.core.errors import ConfigError, DataError, yaml_mistake
from medtaskatlas.core.files import read_text


def merged_config(configfiles: Iterable[Path], pairs: Iterable[str]) -> dict[str, Any]:
    """Configuration of files and of ``key=value``; later ones win, sections key by key.

    Parameters
    ----------
    configfiles
        YAML or JSON files.
    pairs
        ``key=value``, the value as YAML.

    Returns
    -------
    dict
        As Snakemake would give it to the Snakefile.

    Raises
    ------
    ConfigError
        If a file cannot be read or is no mapping, or a pair has no ``=``.
    """
    config: dict[str, Any] = {}
    for file in configfiles:
        try:
            content = _yaml(f"--configfile: {file}", read_text(file))
        except DataError as error:
            raise ConfigError(f"--configfile: {error.problem}", error.remedy) from error
        if not isinstance(content, Mapping):
            remedy = "write `key: value`; see config/README.md"
            raise ConfigError(f"--configfile: {file} holds no keys", remedy)
        config = _merged(config, content)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--config: {pair!r} is no key=value", "write e.g. image_size=224")
        config = _merged(config, {key: _yaml(f"--config: {pair!r}", value)})
    return config


def _yaml(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {yaml_mistake(error)}", "mend that") from None


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Sections key by key, all else replaced."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
