"""Generated pairs of the bank, for benchmarks of what reads pairs."""

from collections.abc import Iterable
from pathlib import Path

from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.tasks.bank import load_bank


def bank_pairs(
    folder: Path, *, datasets: int, n: int = 60, side: int = 64, tasks: Iterable[str] | None = None
) -> tuple[list[Path], list[Path]]:
    """Pair files and images files of generated datasets; of all tasks that these can have."""
    bank = load_bank()
    if tasks is None:
        tasks = [t.name for t in bank.values() if not t.needs & {"label", "colour", "boxes"}]
    images = [write_dataset(folder / f"{d}.arrow", n=n, side=side, seed=d) for d in range(datasets)]
    paths = []
    for name in tasks:
        for file in images:
            paths.append(folder / "pairs" / name / file.name)
            make_pairs(file, bank[name], paths[-1], pairs_per_cell=60, splits=SPLITS, seed=0)
    return paths, images
