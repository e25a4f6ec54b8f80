"""Embed every pair with one encoder: results/<run>/embeddings/<encoder>/seed<k>.parquet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.formats.embeddings import write_embeddings
from medtaskatlas.learning.prefetch import prefetch
from medtaskatlas.pairs.roles import MISMATCHED, QUERY_SETS

if TYPE_CHECKING:
    from torch import nn

MISMATCHED_PAIRS = 10  # of each dataset, task and role


def embed(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    encoder: dict[str, Any],
    model: str | Path | None,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    pairs_per_cell: int | None = None,
    mismatched: bool = False,
    threads: int,
    meta: dict[str, Any],
) -> None:
    """Embed pairs and write them with all that is known of them but the pixels, and their roles.

    Parameters
    ----------
    pair_paths, image_paths
        Pair files and the images files of their datasets.
    out
        The parquet file to make.
    encoder
        Options of the encoder; see :mod:`medtaskatlas.encoders.kinds`.
    model
        Weights that the training stage wrote, for encoders that have them.
    heldout_datasets, heldout_tasks
        What was kept out of training, which decides the role of a pair.
    pairs_per_cell
        Training pairs of a cell that are embedded; None: all.
    mismatched
        Whether to add held-out pairs with the output of another image, a control: see
        :func:`mismatched_rows`.
    threads
        Threads of torch.
    meta
        Facts for the file's metadata; must hold ``encoder`` and ``seed``.

    Raises
    ------
    DataError
        If an embedding is not finite, the weights are of another encoder, or what is held out was
        trained on.
    """
    seen = sorted(set(heldout_datasets) & set(meta.get("trained_datasets", [])))
    seen += sorted(set(heldout_tasks) & set(meta.get("trained_tasks", [])))
    if seen:
        raise DataError(
            f"{out}: the encoder was trained on {', '.join(seen)}, which are held out now",
            "train it again: delete its folder under encoders/ and start the run again",
        )
    made = encoder_of(encoder)
    bank = PairBank(pair_paths, image_paths)
    function = embedder(made, model, threads)
    table = bank.table().append_column(
        "role", pa.array(bank.roles(heldout_datasets, heldout_tasks), pa.string())
    )
    rows = np.arange(len(bank))
    if pairs_per_cell is not None:
        more = np.asarray(table["draw"]) >= pairs_per_cell
        rows = rows[~(more & (np.asarray(table["split"]) == "train"))]
        table = table.take(rows)
    outputs = rows
    if mismatched:
        of, other = mismatched_rows(table)
        table = pa.concat_tables([table, _as_mismatched(table.take(of))])
        rows, outputs = np.r_[rows, rows[of]], np.r_[rows, rows[other]]
    parts = [slice(begin, begin + made.batch) for begin in range(0, len(rows), made.batch)]
    pixels_of = prefetch(lambda part: bank.gather(rows[part], outputs=outputs[part]), parts)
    read = tqdm(pixels_of, f"embed {meta['encoder']}", total=len(parts), mininterval=2)
    embedding = np.concatenate([function(pixels) for pixels in read])
    if not np.isfinite(embedding).all():
        raise DataError(
            f"encoder {meta['encoder']}: embeddings are not finite",
            "train it again with a lower `learning_rate`",
        )
    copied = ("kind", "role", "control", "standardise")
    facts = {**meta, **{name: getattr(made, name) for name in copied}}
    write_embeddings(out, table, embedding, facts)


def embedder(
    encoder: EncoderKind, model: str | Path | None, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Function from pairs uint8 [B, 2, H, W, 3] to float32 [B, D]; a network has its weights."""
    return _run(encoder, model, threads) if encoder.is_network else encoder.features


def mismatched_rows(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows of some held-out pairs, and of those whose output each gets instead, int [M] each.

    At most ten of each (dataset, task, role), the same for all encoders. The other is of the same
    task and dataset, of another image, and of another subject where there is one.
    """
    names = ("dataset", "task", "role", "image_id", "subject_id")
    frame = table.select(names).to_pandas()
    found: list[tuple[int, int]] = []
    for (dataset, task, role), cell in frame.groupby(["dataset", "task", "role"], sort=True):
        if role not in QUERY_SETS:
            continue
        rng = generator(0, "mismatched", str(dataset), str(task), str(role))
        image, subject = (cell[name].to_numpy(dtype=str) for name in ("image_id", "subject_id"))
        at = cell.index.to_numpy()
        for i in rng.permutation(len(cell))[:MISMATCHED_PAIRS]:
            apart = np.flatnonzero(image != image[i])
            far = apart[subject[apart] != subject[i]]
            if len(apart):
                found.append((at[i], at[rng.choice(far if len(far) else apart)]))
    of, other = np.array(found, int).reshape(-1, 2).T
    return of, other


def _as_mismatched(pairs: pa.Table) -> pa.Table:
    """Pairs with a name and the role of their own."""
    names = [f"{name}/{MISMATCHED}" for name in pairs["pair_id"].to_pylist()]
    roles = pa.array([MISMATCHED] * len(pairs), pa.string())
    pairs = pairs.set_column(pairs.column_names.index("pair_id"), "pair_id", pa.array(names))
    return pairs.set_column(pairs.column_names.index("role"), "role", roles)


def _run(
    encoder: EncoderKind, model: str | Path | None, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Function that runs a network, with the weights of a file where it has one."""
    import torch

    from medtaskatlas.encoders.network import to_input
    from medtaskatlas.learning.machine import keep_memory, pick_device

    keep_memory()
    torch.set_num_threads(threads)
    device = pick_device()
    network = encoder.network(0) if model is None else trained_network(encoder, model)
    network.to(device).eval()

    def run(pairs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(to_input(pairs, device)).float().cpu().numpy()

    return run


def trained_network(encoder: EncoderKind, model: str | Path) -> nn.Module:
    """Network with the weights of a file, which must be of this very encoder."""
    from medtaskatlas.learning.checkpoint import load_tensors

    remedy = f"delete {model} and start the run again"
    try:
        tensors, facts = load_tensors(model)
    except ValueError as error:
        raise DataError(str(error), remedy) from error
    options = encoder.options()
    if facts["encoder"] != options:
        raise DataError(f"{model} was trained with {facts['encoder']}, not {options}", remedy)
    network = encoder.network(facts["seed"])
    network.load_state_dict(tensors)
    return network
