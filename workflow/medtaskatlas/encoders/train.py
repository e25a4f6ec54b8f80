"""Train one encoder with one seed: supervised contrast between tasks."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from medtaskatlas.encoders.checkpoint import Resume, save_tensors
from medtaskatlas.encoders.network import build, pick_device, to_input
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.sampler import CrossedSampler
from medtaskatlas.errors import DataError
from medtaskatlas.files import sha256, whole_file, write_json
from medtaskatlas.provenance import code_hash
from medtaskatlas.seeds import generator

# What stops the first, random steps from throwing the weights far out.
GRADIENT_NORM = 5.0


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear rise, then half a cosine to zero (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    step
        0 to ``steps - 1``.
    steps
        All steps of the training.
    peak
        Highest rate.
    warmup
        Share of the steps that rise.

    Returns
    -------
    float
        Rate of the step.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def mirror_together(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror both sides of some pairs in place: other content, the same task.

    Flips commute with each other and with all that a task does up to the sign of its direction;
    transposing would turn a horizontal flip into a vertical one, so it is not done.

    Parameters
    ----------
    pixels
        uint8 [B, 2, H, W, 3]; changed in place.
    rng
        Decides for each pair.

    Returns
    -------
    numpy.ndarray
        The same array.
    """
    across, down = rng.random((2, len(pixels))) < 0.5
    pixels[across] = pixels[across, :, :, ::-1]
    pixels[down] = pixels[down, :, ::-1]
    return pixels


def batches(
    bank: PairBank, rows: np.ndarray, sampler: CrossedSampler, steps: range
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pixels and labels of every step, read one step ahead in a thread.

    Parameters
    ----------
    bank
        The pairs.
    rows
        Rows of the bank that the sampler's numbers stand for.
    sampler
        Composes the batches.
    steps
        Which steps.

    Yields
    ------
    pixels
        uint8 [B, 2, H, W, 3].
    labels
        int64 [B] task codes.
    """

    def load(step: int) -> tuple[np.ndarray, np.ndarray]:
        chosen, labels = sampler.batch(step)
        pixels = bank.gather(rows[chosen])
        return mirror_together(pixels, generator(sampler.seed, "mirror", step)), labels

    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(load, steps[0]) if steps else None
        for step in steps:
            assert ahead is not None
            batch = ahead.result()
            ahead = reader.submit(load, step + 1) if step + 1 in steps else None
            yield batch


def take_step(
    network: torch.nn.Module,
    criterion: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    pairs: torch.Tensor,
    labels: np.ndarray,
) -> float:
    """One optimiser step on one batch.

    Parameters
    ----------
    network, criterion, optimiser
        What is trained, and how.
    pairs
        float [B, 6, H, W].
    labels
        int64 [B] task codes.

    Returns
    -------
    float
        The loss before the step.
    """
    loss = criterion(network(pairs), torch.from_numpy(labels).to(pairs.device))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
    optimiser.step()
    return float(loss.detach())


def train(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    model_path: str | Path,
    *,
    encoder: dict[str, Any],
    seed: int,
    checkpoint: str | Path,
    threads: int,
    title: str = "train",
) -> None:
    """Train (or only initialise) an encoder and write model, configuration and history.

    A training that was cut off goes on from its checkpoint and ends with the very same weights.

    Parameters
    ----------
    pair_paths, image_paths
        Pairs to learn from, of which the training split is used, and their images.
    model_path
        The model.safetensors to make; config.json and history.parquet stand beside it.
    encoder
        Options of the encoder; see :mod:`medtaskatlas.config`.
    seed
        Training seed: initial weights, batches and augmentation.
    checkpoint
        Where the state is kept while training; removed at the end.
    threads
        Threads of torch.
    title
        Name beside the progress bar.

    Raises
    ------
    DataError
        If the loss is no longer a number.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be written shows mistakes and costs a fifth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    network = build(encoder, seed)
    bank = PairBank(pair_paths, image_paths)
    rows = np.flatnonzero(bank.strings("split") == "train")
    tasks, datasets = bank.strings("task")[rows], bank.strings("dataset")[rows]
    losses: list[float] = []
    if encoder["kind"] == "taco" and encoder["steps"] > 0:
        sampler = CrossedSampler(
            tasks,
            datasets,
            bank.strings("image_id")[rows],
            n_tasks=encoder["batch_tasks"],
            n_images=encoder["batch_images"],
            seed=seed,
        )
        fingerprint = _fingerprint(encoder, seed, [*pair_paths, *image_paths])
        stream = partial(batches, bank, rows, sampler)
        state = Resume(checkpoint, fingerprint)
        losses = _optimise(network, stream, encoder, state, title)
    folder = Path(model_path).parent
    write_json(
        folder / "config.json",
        {
            "encoder": encoder,
            "seed": seed,
            "image_size": bank.shape[0],
            "tasks": sorted(set(tasks)),
            "datasets": sorted(set(datasets)),
            "n_pairs": len(rows),
            "torch": torch.__version__,
            "code": code_hash("medtaskatlas.encoders.train"),
        },
    )
    rates = [
        learning_rate(i, len(losses), encoder["learning_rate"], encoder["warmup"])
        for i in range(len(losses))
    ]
    history = pa.table(
        {
            "step": pa.array(range(len(losses)), pa.int32()),
            "loss": pa.array(losses, pa.float64()),
            "learning_rate": pa.array(rates, pa.float64()),
        }
    )
    with whole_file(folder / "history.parquet") as part:
        pq.write_table(history, part)
    save_tensors(model_path, network.state_dict(), {"encoder": encoder, "seed": seed})
    Path(checkpoint).unlink(missing_ok=True)


def _optimise(
    network: torch.nn.Module,
    stream: Callable[[range], Iterator[tuple[np.ndarray, np.ndarray]]],
    encoder: dict[str, Any],
    resume: Resume,
    title: str,
) -> list[float]:
    """Run the optimiser; returns the loss of every step."""
    from pytorch_metric_learning.losses import SupConLoss

    device = pick_device()
    network.to(device).train()
    criterion = SupConLoss(temperature=encoder["temperature"])
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=encoder["learning_rate"], weight_decay=encoder["weight_decay"]
    )
    losses = resume.load(network, optimiser) or []
    steps = range(len(losses), encoder["steps"])
    bar = tqdm(total=encoder["steps"], initial=len(losses), desc=title, unit="step", mininterval=2)
    saved = time.monotonic()
    with bar:
        for pixels, labels in stream(steps):
            rate = learning_rate(
                len(losses), encoder["steps"], encoder["learning_rate"], encoder["warmup"]
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            losses.append(
                take_step(network, criterion, optimiser, to_input(pixels, device), labels)
            )
            if not math.isfinite(losses[-1]):
                raise DataError(
                    f"{title}: the loss is {losses[-1]} at step {len(losses)}",
                    "lower `learning_rate` of this encoder",
                )
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
            if time.monotonic() - saved > encoder["checkpoint_seconds"]:
                resume.save(network, optimiser, losses)
                saved = time.monotonic()
    network.cpu()
    return losses


def _fingerprint(encoder: dict[str, Any], seed: int, files: Sequence[str | Path]) -> str:
    """Hash of all that decides the weights: options, seed, data and code."""
    # When to save decides nothing.
    options = {k: v for k, v in encoder.items() if k != "checkpoint_seconds"}
    parts = [json.dumps(options, sort_keys=True), str(seed), torch.__version__]
    parts += [code_hash("medtaskatlas.encoders.train"), *(sha256(file) for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
