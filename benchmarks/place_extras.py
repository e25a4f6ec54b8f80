"""Where a run places the extras of the bank, which none of its encoders was trained on.

    python benchmarks/place_extras.py --run results/embedded

Pairs of held-out datasets, drawn by a seed: a row of docs/place.md a task. The last two rows of
each known task are a control: its own pairs, and its inputs with outputs of other images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.place.nearest import Placed
from medtaskatlas.place.pairs import OwnPairs
from medtaskatlas.place.place import Chosen, choose_encoder, drawn_weights, read_config
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import Task

KNOWN = ("denoising_gaussian", "deblurring", "rotation", "brightness")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--run", type=Path, default=Path("results/embedded"))
    parser.add_argument("--encoder", default="taco_correspondence")
    parser.add_argument("--pairs", type=int, default=10, help="of each dataset")
    args = parser.parse_args()
    config = read_config(args.run)
    chosen = choose_encoder(args.run, config, args.encoder)
    held = json.loads((args.run / "config.json").read_text(encoding="utf-8"))["heldout"]["datasets"]
    images = [ImageSet(args.run / "images" / f"{name}.arrow") for name in held]
    bank = load_bank()
    print(
        "| task | n | nearest, share of neighbours, support | family of most | beyond every task |"
    )
    print("|---|---|---|---|---|")
    for name, task in bank.items():
        if task.extra and name not in config.get("tasks", ()):
            inputs, outputs = _pairs(name, task, images, args.pairs)
            print(_row(name, chosen, inputs, outputs), flush=True)
    for name in KNOWN:
        inputs, outputs = _pairs(name, bank[name], images, args.pairs)
        print(_row(name, chosen, inputs, outputs), flush=True)
        print(_row(f"{name}, other outputs", chosen, inputs, np.roll(outputs, 1, axis=0)))


def _pairs(
    name: str, task: Task, images: list[ImageSet], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of some images of every dataset that offers the task."""

    def made() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for of in images:
            for row in range(min(most, len(of.images))):
                sample = of.sample(row)
                if task.usable(sample):
                    rng = generator(0, "place extras", name, of.dataset, row)
                    draw = task.draw(rng, sample, float(rng.uniform(0.2, 1)))
                    yield task.apply(sample, draw)

    found = list(made())
    if not found:
        return np.empty(0), np.empty(0)
    inputs, outputs = zip(*found, strict=True)
    return np.stack(inputs), np.stack(outputs)


def _row(name: str, chosen: Chosen, inputs: np.ndarray, outputs: np.ndarray) -> str:
    """A row of the table."""
    if not len(inputs):
        return f"| {name} | 0 | | | |"
    n = np.arange(len(inputs))
    pairs = OwnPairs([str(i) for i in n], n, inputs, outputs)
    placed = Placed.of(list(zip(chosen.spaces, chosen.embed(pairs), strict=True)))
    rows = list(placed.rows(drawn_weights(pairs.files, 0)))
    tasks = [row for row in rows if row["kind"] == "task" and row["share"] >= 0.2][:2]
    near = "; ".join(f"{row['name']} {row['share']:.2f}, {row['support']:.2f}" for row in tasks)
    family = next(row["name"] for row in rows if row["kind"] == "family")
    return f"| {name} | {len(n)} | {near} | {family} | {placed.outside:.2f} |"


if __name__ == "__main__":
    main()
