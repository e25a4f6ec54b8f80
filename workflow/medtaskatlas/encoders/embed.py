"""Embed every pair with one encoder: results/<run>/embeddings/<encoder>/seed<k>.parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.errors import DataError
from medtaskatlas.files import whole_file

BATCH = 256


def embed(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    encoder: dict[str, Any],
    model: str | Path | None,
    threads: int,
    meta: dict[str, Any],
) -> None:
    """Embed pairs and write them with all that is known of them but the pixels.

    Parameters
    ----------
    pair_paths, image_paths
        Pair files and the images files of their datasets.
    out
        The parquet file to make.
    encoder
        Options of the encoder; see :mod:`medtaskatlas.config`.
    model
        Weights, for encoders that have them.
    threads
        Threads of torch.
    meta
        Facts for the file's metadata; must hold ``encoder`` and ``seed``.

    Raises
    ------
    DataError
        If an embedding is not finite, or the weights are of another encoder.
    """
    bank = PairBank(pair_paths, image_paths)
    function = _encode_pixels() if model is None else _encode_network(model, encoder, threads)
    parts = []
    for begin in tqdm(range(0, len(bank), BATCH), desc=f"embed {meta['encoder']}", mininterval=2):
        rows = np.arange(begin, min(begin + BATCH, len(bank)))
        parts.append(function(bank.gather(rows)))
    embedding = np.concatenate(parts)
    if not np.isfinite(embedding).all():
        raise DataError(
            f"encoder {meta['encoder']}: embeddings are not finite",
            "train it again with a lower `learning_rate`",
        )
    table = bank.table()
    values = pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel()), embedding.shape[1])
    n = len(table)
    table = (
        table.append_column("encoder", pa.array([meta["encoder"]] * n))
        .append_column("seed", pa.array([meta["seed"]] * n, pa.int32()))
        .append_column("embedding", values)
    )
    # Features with scales of their own are standardised by the gallery; contrast makes directions.
    facts = {**meta, "kind": encoder["kind"], "standardise": encoder["kind"] != "taco"}
    text = json.dumps(facts, sort_keys=True).encode()
    table = table.replace_schema_metadata({b"medtaskatlas": text})
    with whole_file(out) as part:
        pq.write_table(table, part, compression="zstd")


def _encode_pixels() -> Callable[[np.ndarray], np.ndarray]:
    """Function that computes the features of the `pixels` baseline."""
    from medtaskatlas.encoders.pixels import pixel_features

    return pixel_features


def _encode_network(
    model: str | Path, encoder: dict[str, Any], threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Function that runs a trained network."""
    import torch

    from medtaskatlas.encoders.checkpoint import load_tensors
    from medtaskatlas.encoders.network import build, pick_device, to_input

    torch.set_num_threads(threads)
    remedy = f"delete {model} and start the run again"
    try:
        tensors, facts = load_tensors(model)
    except ValueError as error:
        raise DataError(str(error), remedy) from error
    if facts["encoder"] != encoder:
        raise DataError(f"{model} was trained with {facts['encoder']}, not {encoder}", remedy)
    device = pick_device()
    network = build(encoder, facts["seed"])
    network.load_state_dict(tensors)
    network.to(device).eval()

    def run(pairs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(to_input(pairs, device)).float().cpu().numpy()

    return run
