"""Synthetic tables of transfer: gains that a chosen distance tells, and others do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medtaskatlas.atlas.tables import write_table

TASKS = {
    "boundary": "semantic",
    "detection": "semantic",
    "segmentation": "semantic",
    "skeleton": "semantic",
    "deblurring": "generative",
    "denoising_gaussian": "generative",
    "denoising_poisson": "generative",
    "inpainting": "generative",
    "contrast_gamma": "transformation",
    "inversion": "transformation",
    "rotation": "transformation",
    "shear": "transformation",
}
DATASETS = {"ct_a": "CT", "mr_b": "MR", "us_c": "US"}
HELDOUT = "us_c"
N = {"n_pairs": 40, "n_images": 20, "n_groups": 9, "n_subjects": 9, "n_datasets": 1}
INTERVAL = {"ci_method": "bootstrap", "seed_sd": 0.01}
# Dataset to the source, or target, by the other.
Matrices = dict[str, np.ndarray]


def distances(seed: int = 0, tasks: dict[str, str] = TASKS) -> Matrices:
    """Directed distances, somewhat smaller within families; other ones on every dataset."""
    rng, family = np.random.default_rng(seed), np.array(list(tasks.values()))
    near = 0.4 * (family[:, None] == family)
    return {name: rng.uniform(0.5, 2, near.shape) - near for name in DATASETS}


def gains_of(truth: Matrices, noise: float, seed: int) -> Matrices:
    """Gains that fall with a distance, by a target's own measure, with noise."""
    rng = np.random.default_rng((1, seed))
    level = np.random.default_rng(2).uniform(0.3, 0.6, len(next(iter(truth.values()))))
    return {
        name: np.clip(level - 0.3 * d + noise * rng.normal(size=d.shape), -1, 1)
        for name, d in truth.items()
    }


def write_tables(
    folder: Path,
    *,
    truth: Matrices | None = None,
    kernel: Matrices | None = None,
    output_mse: Matrices | None = None,
    noise: float = 0.05,
    seeds: int = 2,
    tasks: dict[str, str] = TASKS,
) -> dict[str, Path]:
    """Tables `transfer_gains`, `functional_distance` and `datasets`; name to path.

    By default the kernel is the truth, and the outputs differ by chance.
    """
    truth = truth or distances(tasks=tasks)
    kernel = kernel or truth
    output_mse = output_mse or distances(7, {task: task for task in tasks})
    each = [gains_of(truth, noise, s) for s in range(seeds)]
    gains = [
        row for target in tasks for source in (*tasks, "untrained", "shuffled_outputs")
        for row in _gain_rows(source, target, each, tasks)
    ]  # fmt: skip
    functional = [
        {
            "run": "r", "dataset": name, "source": s, "target": t, "source_family": tasks[s],
            "target_family": tasks[t], "estimate": 0.0 if s == t else kernel[name][i, j],
            "error": 0.02, "own_error": 0.01,
            "apart": 0.0 if s == t else 0.01 * (kernel[name] + kernel[name].T)[i, j],
            "output_mse": 0.0 if s == t else 0.01 * output_mse[name][i, j],
            "output_ssim": 1 - 0.2 * output_mse[name][i, j], "images_apart": True,
            "note": "no interval: one dataset", **N,
        }
        for name in DATASETS for i, s in enumerate(tasks) for j, t in enumerate(tasks)
    ]  # fmt: skip
    datasets = [
        {
            "run": "r", "dataset": name, "source": "generated", "modality": modality,
            "licence": "CC0-1.0", "annotation": "none", "heldout": name == HELDOUT,
            "n_images": 60, "n_groups": 20, "n_subjects": 20, "n_train": 30 + 10 * i, "n_val": 10,
            "n_test": 20, "groups_train": 10, "groups_val": 3, "groups_test": 7,
        }
        for i, (name, modality) in enumerate(DATASETS.items())
    ]  # fmt: skip
    rows = {"transfer_gains": gains, "functional_distance": functional, "datasets": datasets}
    paths = {name: folder / f"{name}.parquet" for name in rows}
    for name, own in rows.items():
        write_table(name, own, paths[name], {"run": "r"})
    return paths


def _gain_rows(source: str, target: str, each: list[Matrices], tasks: dict[str, str]):
    """Rows of a source and target: every dataset and all, over seeds and of each."""
    names, role = list(tasks), {"untrained": "untrained", "shuffled_outputs": "shuffled"}
    control = source not in tasks
    itself = source == target
    for dataset in ("all", *DATASETS):
        of = list(DATASETS) if dataset == "all" else [dataset]
        i, j = names.index(target if control else source), names.index(target)
        values = [np.mean([gains[d][i, j] for d in of]) for gains in each]
        values = [0.0 if control else 0.8 if itself else float(v) for v in values]
        for seed in (None, *(range(len(each)) if len(each) > 1 else ())):
            gain = float(np.mean(values)) if seed is None else values[seed]
            yield {
                "run": "r", "protocol": "warm", "source": source, "target": target,
                "source_role": role.get(source, "itself" if itself else "task"),
                "source_family": tasks.get(source), "target_family": tasks[target],
                "dataset": dataset, "seed": seed, "estimate": gain,
                "dataset_trained": None if dataset == "all" else dataset != HELDOUT,
                "ci_low": gain - 0.1, "ci_high": gain + 0.1, **INTERVAL,
                "error": 0.01, "scratch_error": 0.02, "error_before": 0.03, "n_learned": 12,
                **N | {"n_datasets": len(of)},
            }  # fmt: skip
