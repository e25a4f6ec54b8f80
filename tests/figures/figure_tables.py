"""Synthetic tables of a run: what the figures read, with known content."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

TASKS = {
    "segmentation": "semantic",
    "boundary": "semantic",
    "denoising_gaussian": "generative",
    "deblurring": "generative",
    "rotation": "transformation",
    "inversion": "transformation",
}
DATASETS = {"ct_a": "CT", "mr_b": "MR", "us_c": "US", "cells_d": "MICROSCOPY"}
HELDOUT = ["cells_d"]


def make_tables(folder, tasks=TASKS, datasets=DATASETS, heldout=HELDOUT):
    """Write all tables that figures read; returns name to path."""
    rng = np.random.default_rng(1)
    names = list(tasks)
    n = {"n_pairs": 120, "n_images": 60, "n_groups": 9, "n_subjects": 9, "n_datasets": 3}
    common = {"run": "synthetic", "seed": pd.NA, "seed_sd": 0.01, "ci_method": "bootstrap"}
    frames = {}
    frames["tasks"] = [
        {"run": "synthetic", "task": t, "family": f, "description": f"does {t}", "heldout": False}
        for t, f in tasks.items()
    ]
    frames["datasets"] = [
        {
            "run": "synthetic", "dataset": d, "title": f"Set <{d}>", "source": "embedded",
            "modality": m, "body_part": "brain & more", "licence": "CC0-1.0",
            "annotation": ["derived", "ground_truth", "none"][i % 3], "annotation_note": "Otsu",
            "citation": "Somebody", "group_note": "A group is a patient.", "heldout": d in heldout,
            "n_images": 50, "n_groups": 5, "n_subjects": 4, "groups_train": 3, "groups_val": 1,
            "groups_test": 1,
        }
        for i, (d, m) in enumerate(datasets.items())
    ]  # fmt: skip
    frames["task_grid"] = [
        {"run": "synthetic", "task": t, "family": f, "dataset": d, "modality": m,
         "applicable": f != "semantic" or m in ("CT", "MR"),
         "n_pairs": 100 if f != "semantic" or m in ("CT", "MR") else 0, "n_groups": 5,
         "n_subjects": 4}
        for t, f in tasks.items() for d, m in datasets.items()
    ]  # fmt: skip
    level = {"taco": 0.7, "pixels": 0.45, "random": 0.2}
    rows = []
    for split, less in (("groups", 0.0), ("datasets", 0.15)):
        for encoder, base in level.items():
            for method in ("knn", "linear", "boosted"):
                for measure, more in (("balanced_accuracy", 0), ("family_balanced_accuracy", 0.2)):
                    x = base - less + more + 0.03 * rng.normal()
                    rows.append(
                        {"encoder": encoder, "kind": encoder, "split": split, "method": method,
                         "task_subset": "all", "measure": measure, "level": "overall",
                         "name": "all", "estimate": x, "ci_low": x - 0.06, "ci_high": x + 0.05,
                         "chance": 1 / 3 if more else 1 / len(tasks), "note": None, **n}
                    )  # fmt: skip
            for t in names:
                x = float(np.clip(base - less + 0.25 * rng.normal(), 0, 1))
                rows.append(
                    {"encoder": encoder, "kind": encoder, "split": split, "method": "knn",
                     "task_subset": "all", "measure": "balanced_accuracy", "level": "task",
                     "name": t, "estimate": x, "ci_low": max(0, x - 0.1), "chance": None,
                     "ci_high": min(1, x + 0.1), "note": None, **n}
                )  # fmt: skip
    frames["identification"] = [common | row for row in rows]
    rates = rng.dirichlet(np.full(len(names), 0.15), size=len(names)) * 0.5
    rates += 0.5 * np.eye(len(names))
    frames["confusion"] = [
        common
        | {"encoder": "taco", "split": split, "method": "knn", "true_task": a,
           "true_family": tasks[a], "predicted_task": b, "predicted_family": tasks[b],
           "count": 20.0, "estimate": rates[i, j], **n}
        for split in ("groups", "datasets")
        for i, a in enumerate(names) for j, b in enumerate(names)
    ]  # fmt: skip
    ordered = sorted(names)
    frames["task_distances"] = [
        common
        | {"encoder": "taco", "split": split, "metric": metric, "task_a": a, "task_b": b,
           "family_a": tasks[a], "family_b": tasks[b], "note": None, **n,
           "estimate": abs((0.4 if tasks[a] == tasks[b] else 1.0) + 0.1 * rng.normal())}
        for split in ("groups", "datasets")
        for metric in ("centroid_cosine", "energy")
        for i, a in enumerate(ordered) for b in ordered[i + 1 :]
    ]  # fmt: skip
    frames["summary"] = [
        common
        | {"finding": "identification", "encoder": "taco", "split": "groups",
           "sentence": "The task is named right in 70 % of pairs, <b>well</b> above chance.",
           "supported": True, "verdict": "supported",
           "control": "shuffled_labels", "control_passed": True,
           "estimate": 0.7, "ci_low": 0.64, "ci_high": 0.75, "p": 0.001, "p_adjusted": 0.002,
           "note": None, **n},
        common
        | {"finding": "family_structure", "encoder": "taco", "split": "datasets",
           "sentence": "The families are found again by clustering.", "supported": False,
           "verdict": "not supported",
           "control": None, "control_passed": None, "estimate": 0.1, "ci_low": None,
           "ci_high": None, "p": None, "p_adjusted": None, "note": "too few groups", **n},
    ]  # fmt: skip
    frames["controls"] = [
        common
        | {"encoder": "taco", "split": "groups", "control": name, "estimate": 0.17,
           "expectation": "kNN with shuffled labels is at chance & no better", "ci_low": 0.1,
           "ci_high": 0.2, "reference": 0.16, "passed": passed, "note": note, **n}
        for name, passed, note in (
            ("shuffled_gallery", True, None),
            ("duplicated_task", False, "apart"),
            ("shuffled_training", None, "not run"),
        )
    ]  # fmt: skip
    frames |= {
        "clusters": cluster_rows(),
        "dataset_distances": dataset_distance_rows(),
        "separation": separation_rows(),
        "comparisons": comparison_rows(),
        "shortcuts": shortcut_rows(),
        "unseen_tasks": unseen_task_rows(),
        "scaling": scaling_rows(),
    }
    return {name: write_table(folder / "tables", name, rows) for name, rows in frames.items()}


TYPES = {
    "Int64": ["seed"],
    "boolean": ["passed", "control_passed", "expected", "flagged"],
    "float64": ["ci_low", "ci_high", "chance", "p", "p_adjusted"],
}


def write_table(folder, name, rows):
    """Write rows as a table with the types of the real one; its path."""
    frame = pd.DataFrame(rows)
    types = {column: kind for kind, columns in TYPES.items() for column in columns}
    frame = frame.astype({column: types[column] for column in frame.columns if column in types})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    frame.to_parquet(path)
    return path


N = {"n_pairs": 1200, "n_images": 60, "n_groups": 9, "n_subjects": 9, "n_datasets": 3}
FAMILIES = {"segmentation": "semantic", "boundary": "semantic", "deblurring": "generative",
            "rotation": "transformation"}  # fmt: skip
BRANCHES = [
    # members, height, support
    ("boundary,segmentation", 0.2, 0.97),
    ("deblurring,rotation", 0.5, 0.31),
    ("boundary,deblurring,rotation,segmentation", 1.1, 1.0),
]


def cluster_rows(branches=BRANCHES):
    common = {"encoder": "taco", "split": "groups", "metric": "centroid_cosine", **N}
    rows = [
        {"level": "branch", "measure": "support", "members": m, "height": h, "estimate": s}
        for m, h, s in branches
    ]
    rows += [
        {"level": "task", "measure": "silhouette", "task": t, "family": f, "estimate": 0.1}
        for t, f in FAMILIES.items()
    ]
    rows += [
        {"level": "partition", "measure": "ami", "estimate": 0.44, "p_adjusted": 0.002},
        {"level": "partition", "measure": "cophenetic", "estimate": 0.77},
    ]
    return [common | row for row in rows]


def dataset_distance_rows(p=0.01, note=None):
    modality = {"ct_a": "CT", "ct_b": "CT", "mr_c": "MR"}
    common = {"encoder": "taco", "split": "groups", "metric": "centroid_cosine", "note": None, **N}
    rows = [
        {"level": "pair", "dataset_a": a, "dataset_b": b, "modality_a": modality[a],
         "modality_b": modality[b], "estimate": 0.1 if modality[a] == modality[b] else 0.62}
        for a, b in combinations(sorted(modality), 2)
    ]  # fmt: skip
    rows += [
        {"level": "one_modality", "estimate": 0.1},
        {"level": "two_modalities", "estimate": 0.62},
    ]
    value = None if note else 0.52
    rows.append({"level": "modality_difference", "estimate": value, "p": p, "note": note})
    return [common | row for row in rows]


def separation_rows(splits=("groups", "datasets"), task_share=0.8):
    rows = []
    for split in splits:
        for encoder, (task, dataset) in {
            "taco": (task_share, 0.01), "pixels": (0.3, 0.3), "random": (0.15, 0.2)
        }.items():  # fmt: skip
            shares = {"task": task, "family": task / 3, "dataset": dataset, "interaction": -0.001}
            if split == "groups":
                shares["modality"] = dataset / 2
            rows += [
                {"run": "r", "encoder": encoder, "split": split, "measure": "omega_squared",
                 "factor": factor, "within": within, "estimate": value, "ci_low": value - 0.05,
                 "ci_high": value + 0.05, **N}
                for factor, value in shares.items()
                for within in ("crossed", "crossed_all_families")
            ]  # fmt: skip
    return rows


def comparison_rows():
    rows = []
    for split in ("groups", "datasets"):
        common = {"run": "r", "contrast": "geometry", "split": split, "p_adjusted": np.nan, **N}
        pairs = [("taco", "pixels", 0.31), ("taco", "random", -0.05), ("pixels", "random", 0.62)]
        for one, other, value in pairs:
            sides = {"encoder": one, "other": other, "estimate": value, "method": "x"}
            rows.append(common | sides | {"measure": "cka_debiased"})
            p = 0.001 if value > 0.5 else 0.2
            rows.append(common | sides | {"measure": "mantel_spearman", "p_adjusted": p})
        for encoder, method, measure, value in (
            ("taco", "seeds", "noise_ceiling_low", 0.91),
            ("taco", "subjects", "noise_ceiling_low", 0.93),
            ("pixels", "subjects", "noise_ceiling_low", 0.88),
            ("taco", "embedding", "cka_debiased", 0.77),
        ):
            own = {"encoder": encoder, "other": encoder, "method": method, "estimate": value}
            rows.append(common | own | {"measure": measure})
    rows.append(rows[0] | {"contrast": "pair", "measure": "balanced_accuracy", "estimate": 0.4444})
    return rows


def shortcut_rows():
    rng = np.random.default_rng(0)
    families = {"boundary": "semantic", "inpainting": "generative", "rotation": "transformation",
                "horizontal_flip": "transformation"}  # fmt: skip
    views = ("border", "histogram", "input_only", "output_only", "residue", "all", "shuffled")
    return [
        {"run": "r", "view": v, "split": split, "level": "task", "name": task, "family": family,
         "estimate": 0.04 if v == "shuffled" else float(rng.uniform(0.1, 0.9)), "chance": 0.05,
         "explained": 0.25 if task == "rotation" else None,
         "expected": None if v in ("all", "shuffled") else task == "boundary",
         "flagged": v == "histogram" and task == "inpainting", **N}
        for v in views
        for split in ("groups", "datasets")
        for task, family in families.items()
        if split == "groups" or task != "boundary"
    ]  # fmt: skip


def unseen_task_rows():
    families = {"boundary": "semantic", "deblurring": "generative", "shear": "transformation"}
    common = {"encoder": "taco", "n_pairs": 60, "n_groups": 7, "n_subjects": 7, "ci_low": np.nan,
              "ci_high": np.nan}  # fmt: skip
    rows = [
        common
        | {"split": split, "measure": "family_accuracy", "level": "task", "name": task,
           "family": family, "placed_family": "semantic", "nearest_task": "some_kin",
           "estimate": 0.5, "n_tasks": 1}
        for split in ("groups", "datasets")
        for task, family in families.items()
    ]  # fmt: skip
    over_all = {"split": "groups", "measure": "tasks_placed", "level": "overall", "name": "all"}
    return [*rows, common | over_all | {"estimate": 1.0, "n_tasks": 3}]


def scaling_rows(axes=("pairs", "datasets", "all")):
    sizes = {"pairs": (8, 400), "datasets": (2, 900), "all": (8, 3600)}
    rows = [
        {"axis": axis, "split": split, "measure": "balanced_accuracy", "steps": 50,
         "train_datasets": sizes[axis][0], "train_pairs": sizes[axis][1], "estimate": 0.6,
         "ci_low": 0.5 if split == "groups" else np.nan,
         "ci_high": 0.7 if split == "groups" else np.nan,
         "n_pairs": 60, "n_groups": 7, "n_subjects": 7, "n_datasets": 2}
        for axis in axes
        for split in ("groups", "datasets")
    ]  # fmt: skip
    gain = {"split": "groups", "measure": "gain_per_doubling", "estimate": 0.031}
    return [*rows, {"axis": "pairs", **gain}]
