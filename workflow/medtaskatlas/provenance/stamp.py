"""The stamp of a table: how it was made.

Nothing in it differs between two runs of one configuration on one machine: no time, no host, no
path outside of the run, no number of cores. So tables stay equal to the byte.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from medtaskatlas import __version__
from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.core.code_hash import module_hash, modules_behind
from medtaskatlas.core.files import sha256
from medtaskatlas.formats.checksums import pages_of

FORMAT = 1
# Libraries whose arithmetic or random numbers reach a table.
LIBRARIES = (
    "lightning-fabric",
    "monai",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pyarrow",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "torch",
)
# Keys that say where things lie, not what they are; data are known by their manifests.
PLACES = ("datasets_dir", "mirror", "tasks_dir", "weights")
_OWN = b"medtaskatlas"


def stamp(snakemake: Any) -> dict[str, Any]:
    """Facts about a job.

    Parameters
    ----------
    snakemake
        The object that Snakemake gives to a script.

    Returns
    -------
    dict
        JSON-able: ``format``, ``rule``, ``params`` (as the rule has them), ``config_sha256``,
        ``seed``, ``package``, ``code`` (hash that reruns the rule), ``modules`` (module to hash),
        ``libraries``, ``inputs`` (path to sha256 and bytes), ``manifests`` (dataset to sha256 of
        its list of raw files) and ``data_sha256`` over these, null where they are not known.
    """
    from medtaskatlas.run.config import parse_config

    config = parse_config(snakemake.config)
    params = {name: value for name, value in snakemake.params.items() if name not in PLACES}
    inputs = list(dict.fromkeys(str(path) for path in snakemake.input))
    known = manifests(inputs)
    return {
        "format": FORMAT,
        "rule": snakemake.rule,
        "params": {name: value for name, value in params.items() if name != "code"},
        "config_sha256": config_sha256(config.model_dump(mode="json")),
        "seed": params.get("seed", config.seed),
        "package": __version__,
        "code": params.get("code"),
        "modules": {
            name: module_hash(name) for name in modules_behind(*modules_of(snakemake.rule))
        },
        "libraries": libraries(),
        "inputs": {p: {"sha256": sha256(p), "bytes": Path(p).stat().st_size} for p in inputs},
        "manifests": known,
        "data_sha256": hash_of(known) if known else None,
    }


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def config_sha256(config: Mapping[str, Any]) -> str:
    """SHA-256 of a checked configuration but :data:`PLACES`; the order of encoders counts."""
    return hashlib.sha256(json.dumps(_without_places(config)).encode()).hexdigest()


def _without_places(value: Any) -> Any:
    """A value without the keys that say where things lie."""
    if isinstance(value, Mapping):
        return {k: _without_places(v) for k, v in value.items() if k not in PLACES}
    return [_without_places(v) for v in value] if isinstance(value, list) else value


def modules_of(rule: str) -> tuple[str, ...]:
    """Modules that the code hash of a table's rule begins with; none of other rules."""
    table = TABLES.get(rule.removeprefix("table_"))
    return table.modules if table else ()


def libraries() -> dict[str, str]:
    """Versions of Python and of those of :data:`LIBRARIES` that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def manifests(paths: Iterable[str | Path]) -> dict[str, str]:
    """Datasets behind files of a run, each with the SHA-256 of its list of raw files."""
    found: dict[str, str] = {}
    for path in paths:
        facts = file_facts(path)
        if "manifest_sha256" in facts:
            found[facts["dataset"]] = facts["manifest_sha256"]
        found |= facts.get("manifests", {})
        found |= facts.get("provenance", {}).get("manifests", {})
    return dict(sorted(found.items()))


def file_facts(path: str | Path) -> dict[str, Any]:
    """Metadata of an Arrow or parquet file of ours, from its schema alone; else empty."""
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        metadata = pq.read_schema(path).metadata
    elif path.suffix == ".arrow":
        import pyarrow as pa

        with pa.memory_map(str(path)) as source:
            metadata = pa.ipc.open_file(source).schema.metadata
    else:
        return {}
    if _OWN in (metadata or {}):
        pages_of(path)  # its checksums are those of its footer, which holds the schema
    return dict(json.loads((metadata or {}).get(_OWN, b"{}")))
