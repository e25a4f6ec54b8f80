"""The tables `tasks`, `datasets` and `task_grid`: what a run is made of."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.images import SPLITS, ImageSet

TASKS = columns.TableSpec(
    "The vision tasks of the run and what each does.",
    ("run", "task"),
    (
        columns.RUN,
        columns.text("task", "name of the task"),
        columns.text("family", "family that we assign it to"),
        columns.text("description", "what it does, in a line"),
        columns.text("needs", "annotation that an image must have; empty: none"),
        columns.text(
            "severity_effect", "what grows with severity; null: no degrees", nullable=True
        ),
        columns.text("severity_unit", "unit of the effect", nullable=True),
        columns.number("severity_min", "effect at severity 0"),
        columns.number("severity_max", "effect at severity 1"),
        columns.yes("format_identifiable", "whether the format of the output alone names the task"),
        columns.yes("heldout", "whether it was kept out of training"),
    ),
)

DATASETS = columns.TableSpec(
    "The datasets of the run: where they come from, how many images and independent groups.",
    ("run", "dataset"),
    (
        columns.RUN,
        columns.text("dataset", "name of the dataset"),
        columns.text("source", "collection that it is fetched from"),
        columns.text("modality", "imaging modality"),
        columns.text("body_part", "part of the body", nullable=True),
        columns.text("licence", "licence (SPDX or LicenseRef)"),
        columns.text(
            "annotation",
            "ground_truth: made by people; derived: computed from the image; none",
            "ground_truth",
            "derived",
            "none",
        ),
        columns.text("title", "title for people", nullable=True),
        columns.text("citation", "whom to cite", nullable=True),
        columns.text("annotation_note", "how the annotation was made", nullable=True),
        columns.text("group_note", "what a group is", nullable=True),
        columns.text(
            "group_source",
            "where groups come from: published, pattern, derived, region, unknown",
            nullable=True,
        ),
        columns.text(
            "provides", "kinds of annotation: mask, instances, boxes, label", nullable=True
        ),
        columns.text("classes", "names of the classes of its masks", nullable=True),
        columns.yes("heldout", "whether it was kept out of training"),
        columns.count("n_images", "prepared images"),
        columns.count("n_groups", "independent groups"),
        columns.count("n_subjects", "distinct persons or specimens"),
        columns.count("n_train", "images to train on"),
        columns.count("n_val", "images for choices during training"),
        columns.count("n_test", "images that are only measured on"),
        columns.count("groups_train", "groups to train on"),
        columns.count("groups_val", "groups for choices during training"),
        columns.count("groups_test", "groups that are only measured on"),
        columns.count("n_found", "images found in the raw data", nullable=True),
        columns.count("n_excluded", "images left out in preparation", nullable=True),
        columns.text("excluded", "reasons and numbers of what was left out, JSON", nullable=True),
        columns.count("empty_masks", "images whose mask is empty; null: no masks", nullable=True),
        columns.count(
            "n_repaired",
            "boxes clipped and images with NaN voxels; the log of prepare names them",
            nullable=True,
        ),
        columns.count(
            "n_joined", "images put into another group, since they repeat one", nullable=True
        ),
        columns.count(
            "near_duplicates_across_splits",
            "pairs of images that are nearly the same in two published splits",
            nullable=True,
        ),
        columns.text("overlaps", "datasets that share patients or images with it", nullable=True),
        columns.count("image_size", "side of the prepared images, pixels", nullable=True),
        columns.count("native_px_min", "smallest side before preparation, pixels", nullable=True),
        columns.count("native_px_max", "largest side before preparation, pixels", nullable=True),
        columns.count(
            "intensity_min", "darkest value of the prepared images, 0 to 255", nullable=True
        ),
        columns.count(
            "intensity_max", "brightest value of the prepared images, 0 to 255", nullable=True
        ),
        columns.text("manifest_sha256", "hash of the list of raw files", nullable=True),
        columns.text("content_sha256", "hash of the prepared images", nullable=True),
    ),
)

TASK_GRID = columns.TableSpec(
    "Which task was made on which dataset, and how much of it.",
    ("run", "task", "dataset"),
    (
        columns.RUN,
        columns.text("task", "name of the task"),
        columns.text("family", "its family"),
        columns.text("dataset", "name of the dataset"),
        columns.text("modality", "its modality", nullable=True),
        columns.yes("applicable", "whether pairs exist"),
        columns.text("reason", "why there are none", nullable=True),
        columns.count("n_pairs", "pairs"),
        columns.count("n_images", "distinct images"),
        columns.count("n_groups", "distinct groups"),
        columns.count("n_subjects", "distinct persons or specimens"),
    ),
)


def tasks_table(
    tasks: Collection[str],
    out: str | Path,
    *,
    run: str,
    heldout_tasks: Collection[str] = (),
    tasks_dir: str | Path | None = None,
) -> None:
    """Write the table `tasks`.

    Parameters
    ----------
    tasks
        Names of the run's tasks.
    out
        results/<run>/tables/tasks.parquet.
    run, heldout_tasks
        Name of the run, and what was kept out of training.
    tasks_dir
        Folder of the user's own tasks.
    """
    from medtaskatlas.tasks.bank import load_bank

    bank = load_bank(tasks_dir)
    rows = []
    for name in tasks:
        task = bank[name]
        row = {
            "run": run,
            "task": name,
            "family": task.family,
            "description": task.description,
            "needs": ", ".join(sorted(task.needs)),
            "format_identifiable": task.format_identifiable,
            "heldout": name in set(heldout_tasks),
        }
        if ladder := task.ladder:
            row |= {"severity_effect": ladder.effect, "severity_unit": ladder.unit}
            row |= {"severity_min": ladder.mildest, "severity_max": ladder.strongest}
        rows.append(row)
    write_table("tasks", rows, out, {"run": run})


def datasets_table(
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
) -> None:
    """Write the table `datasets`.

    Parameters
    ----------
    image_paths
        All image files of the run.
    out
        results/<run>/tables/datasets.parquet.
    run, heldout_datasets
        Name of the run, and what was kept out of training.
    """
    rows = [{"run": run, **_dataset(ImageSet(path))} for path in image_paths]
    rows = [row | {"heldout": row["dataset"] in set(heldout_datasets)} for row in rows]
    write_table("datasets", rows, out, {"run": run})


def _dataset(images: ImageSet) -> dict[str, Any]:
    """Facts and counts of the prepared images of one dataset."""
    meta, quality = images.meta, images.meta["quality"]
    split, groups = images.numpy("split"), images.numpy("group_id")
    facts = ("dataset", "source", "title", "modality", "body_part", "licence", "citation")
    hashes = ("manifest_sha256", "content_sha256")
    return {
        **{name: meta[name] for name in (*facts, "annotation", "annotation_note", "group_note")},
        **{name: ", ".join(meta[name]) for name in ("provides", "classes", "overlaps")},
        "group_source": ", ".join(sorted(set(images.numpy("group_source")))),
        "image_size": int(images.images.shape[1]),
        "n_images": len(images),
        "n_groups": len(set(groups)),
        "n_subjects": len(set(images.numpy("subject_id"))),
        **{f"n_{s}": int((split == s).sum()) for s in SPLITS},
        **{f"groups_{s}": len(set(groups[split == s])) for s in SPLITS},
        "n_found": quality["found"],
        "n_excluded": sum(quality["excluded"].values()),
        "excluded": json.dumps(quality["excluded"], sort_keys=True),
        "empty_masks": quality["empty_masks"],
        "n_repaired": quality["repaired"],
        "n_joined": quality["joined"],
        "near_duplicates_across_splits": quality["torn"],
        **dict(zip(("native_px_min", "native_px_max"), quality["sizes_px"], strict=True)),
        **dict(zip(("intensity_min", "intensity_max"), quality["intensity"], strict=True)),
        **{name: meta[name] for name in hashes},
    }


def task_grid(
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    tasks: Collection[str],
    tasks_dir: str | Path | None = None,
) -> None:
    """Write the table `task_grid`: a row a task and dataset, made or not.

    Parameters
    ----------
    pair_paths
        All files ``pairs/main/<task>/<dataset>.arrow`` of the run.
    image_paths
        All image files of the run.
    out
        results/<run>/tables/task_grid.parquet.
    run, tasks
        Name of the run and of its tasks.
    tasks_dir
        Folder of the user's own tasks.
    """
    from medtaskatlas.tasks.bank import load_bank

    bank = load_bank(tasks_dir)
    pairs = {(Path(p).parent.name, Path(p).stem): ArrowFile(p) for p in pair_paths}
    rows = []
    for path in image_paths:
        images = ArrowFile(path)
        dataset = str(images.meta["dataset"])
        for task in tasks:
            made = pairs.get((task, dataset))
            row: dict[str, Any] = {
                "run": run,
                "task": task,
                "family": bank[task].family,
                "dataset": dataset,
                "modality": images.meta.get("modality"),
                "applicable": bool(made),
                "n_pairs": len(made or ()),
                **{
                    f"n_{thing}s": len(set(made.numpy(f"{thing}_id"))) if made else 0
                    for thing in ("image", "group", "subject")
                },
            }
            if not made:
                row["reason"] = _reason(bank[task].needs, images.meta, made)
            rows.append(row)
    write_table("task_grid", rows, out, {"run": run})


def _reason(needs: Collection[str], meta: Mapping[str, Any], made: ArrowFile | None) -> str:
    """Why a task has no pairs on a dataset."""
    wanted = ", ".join(sorted(needs)) or "nothing"
    if made is not None:
        told = made.meta.get("reason")
        return str(told) if told else f"no image has what the task needs ({wanted})"
    return f"needs {wanted}; annotation of the dataset: {meta.get('annotation', 'none')}"
