"""The configuration that a user asks about, put together as Snakemake does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from medtaskatlas.core.errors import ConfigError, DataError, yaml_mistake
from medtaskatlas.core.files import read_text


def asked_config(configfiles: Iterable[Path], pairs: Iterable[str]) -> dict[str, Any]:
    """Configuration of files and of ``key=value`` on the command line.

    Parameters
    ----------
    configfiles
        YAML or JSON files; later ones win, key by key.
    pairs
        ``key=value``, the value as YAML; they win over files.

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
            text = read_text(file)
        except DataError as error:
            raise ConfigError(f"--configfile: {error.problem}", error.remedy) from error
        config = _merged(config, _mapping(f"--configfile: {file}", text))
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--config: {pair!r} is no key=value", "write e.g. image_size=224")
        config = _merged(config, {key: _yaml(f"--config: {pair!r}", value)})
    return config


def _mapping(name: str, text: str) -> Mapping[str, Any]:
    content = _yaml(name, text)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{name} holds no keys", "write `key: value`; see config/README.md")
    return content


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
