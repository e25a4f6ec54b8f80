"""What lies behind a file of a run: from predictions to embeddings, weights, images and raw files.

Told by the layout of a run (DESIGN.md, section 2) and by what each file says of itself; nothing
outside the run's folder and data/ is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from medtaskatlas.core.files import sha256
from medtaskatlas.provenance.stamp import file_facts

_ENCODED = re.compile(
    r"(?P<run>.*results/[^/]+)/(?P<stage>predictions|embeddings|encoders)"
    r"/(?P<encoder>[^/]+)/seed(?P<seed>\d+)(?P<rest>.*)"
)
_POINT = re.compile(
    r"(?P<run>.*results/[^/]+)/studies/(?P<point>.+)/(?P<stage>predictions|embeddings)\.parquet"
)
PAIRS = re.compile(
    r"(?P<run>.*results/[^/]+)/pairs/(?P<set>[^/]+)/(?P<task>[^/]+)/(?P<dataset>.+)\.arrow"
)
# What is worth telling of a file, of all that it says of itself.
_TOLD = ("encoder", "seed", "kind", "role", "point", "steps", "trained_datasets", "trained_tasks")


@dataclass(frozen=True)
class Encoded:
    """Encoder and seed that a path names."""

    encoder: str
    seed: int


def encoded(path: str) -> Encoded | None:
    """Encoder and seed that a path names.

    Parameters
    ----------
    path
        Path of an input, with forward slashes.

    Returns
    -------
    Encoded or None
        None where it names none.
    """
    match = _ENCODED.fullmatch(path)
    return match and Encoded(match["encoder"], int(match["seed"]))


def hash_now(file: Path) -> str:
    """SHA-256 of a file as it is now; of a file that many tables have as input only once.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    stat = file.stat()
    return _hash(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _hash(file: Path, size: int, changed: int) -> str:
    return sha256(file)


def behind(folder: Path, path: str) -> list[dict[str, Any]]:
    """Files that a file was made of, as far as they lie there.

    Parameters
    ----------
    folder
        Where results/ and data/ are.
    path
        A file of predictions or embeddings, or weights; relative to the folder.

    Returns
    -------
    list of dict
        ``path``, ``rule``, ``sha256`` (as it is now; None where the file is gone), ``facts``, and
        ``from``, the same of what these were made of. Images are told apart; see :func:`origins`.
    """
    match = _ENCODED.fullmatch(path)
    if match is None:
        point = _POINT.fullmatch(path)
        if point is None:
            return []
        place = f"{point['run']}/studies/{point['point']}"
        if point["stage"] == "predictions":
            return [_made(folder, f"{place}/embeddings.parquet", "embed_point")]
        return [_made(folder, f"{place}/model.safetensors", "train_point")]
    named = f"{match['encoder']}/seed{match['seed']}"
    if match["stage"] == "predictions":
        return [_made(folder, f"{match['run']}/embeddings/{named}.parquet", "embed")]
    model = f"{match['run']}/encoders/{named}/model.safetensors"
    if match["stage"] == "embeddings" and (folder / model).exists():
        return [_made(folder, model, "train")]
    return []


def _made(folder: Path, path: str, rule: str) -> dict[str, Any]:
    """One file and what it was made of."""
    file = folder / path
    there = file.is_file()
    return {
        "path": path,
        "rule": rule,
        "sha256": hash_now(file) if there else None,
        "facts": facts_of(file) if there else {},
        "from": behind(folder, path),
    }


def facts_of(file: Path) -> dict[str, Any]:
    """What is worth telling of a file.

    Parameters
    ----------
    file
        Any file of a run. Weights are described by the config.json beside them.

    Returns
    -------
    dict
        Empty where it says nothing.
    """
    if file.suffix == ".safetensors":
        beside = file.with_name("config.json")
        facts = json.loads(beside.read_text()) if beside.is_file() else {}
        return {
            name: facts[name] for name in ("code", "datasets", "encoder", "seed") if name in facts
        }
    facts = file_facts(file)
    return {name: facts[name] for name in _TOLD if name in facts}


def origins(folder: Path, run: str, manifests: dict[str, str | None]) -> list[dict[str, Any]]:
    """Where the raw data of some datasets came from.

    Parameters
    ----------
    folder
        Where results/ and data/ are.
    run
        Folder of the run below it.
    manifests
        Dataset to the hash of its list of raw files, as the table has it; None where it does not.

    Returns
    -------
    list of dict
        A dataset each: ``dataset``, ``manifest_sha256``, ``images`` and ``manifest`` (path and
        state: the same, changed or gone), ``licence``, ``files`` (file, bytes, sha256, origin,
        licence of each).
    """
    lists = list(_manifest_files(folder))
    return [_origin(folder, run, name, hash, lists) for name, hash in manifests.items()]


def _manifest_files(folder: Path) -> Iterable[tuple[Path, str, dict[str, Any]]]:
    """Lists of raw files below data/ with their hashes and contents."""
    for file in sorted((folder / "data").glob("**/MANIFEST.json")):
        yield file, sha256(file), json.loads(file.read_text())


def _origin(
    folder: Path,
    run: str,
    dataset: str,
    recorded: str | None,
    lists: list[tuple[Path, str, dict[str, Any]]],
) -> dict[str, Any]:
    """Where the raw data of one dataset came from."""
    images = folder / run / "images" / f"{dataset}.arrow"
    facts = file_facts(images) if images.is_file() else {}
    wanted = recorded or facts.get("manifest_sha256")
    own = [entry for entry in lists if entry[2].get("dataset") == dataset]
    # A dataset that is published at several sizes has a list of each.
    exact = [entry for entry in own if entry[1] == wanted]
    chosen = next(iter(exact or own), None)
    file, content = (None, {}) if chosen is None else (chosen[0], chosen[2])
    return {
        "dataset": dataset,
        "manifest_sha256": wanted,
        "images": {
            "path": f"{run}/images/{dataset}.arrow",
            "state": _state(facts.get("manifest_sha256"), wanted),
        },
        "manifest": {
            "path": None if file is None else file.relative_to(folder).as_posix(),
            "state": "gone" if file is None else ("same" if exact else "changed"),
        },
        "licence": content.get("licence", facts.get("licence")),
        "files": content.get("files", []),
    }


def _state(now: str | None, recorded: str | None) -> str:
    """Whether something is as it was."""
    if now is None:
        return "gone"
    return "same" if now == recorded else "changed"
