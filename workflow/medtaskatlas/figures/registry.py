"""Figures of an atlas, one line each: rules, report and tests read them here.

As light as :mod:`medtaskatlas.atlas.registry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from medtaskatlas.atlas.registry import ARMS, Product, same


@dataclass(frozen=True)
class Figure(Product):
    """A figure: results/<run>/figures/<name>.<format>, captioned in workflow/report."""

    category: str = field(kw_only=True)  # chapter of the report
    label: str = field(kw_only=True)  # its words there
    formats: tuple[str, ...] = ("svg", "png")  # each an argument of the function
    shown: str = "svg"  # in the report, where a figure of many pictures is megabytes as SVG


ENCODER = {"encoder": "shown_encoder"}
MEASURED_TRANSFER = {
    "table": "transfer_gains",
    "affinity": "task_affinity",
    "functional": "functional_distance",
} | same("task_distances")


def _drawn(name: str, **inputs: str) -> tuple[str, str, dict[str, str]]:
    """Name, function and inputs of a figure; by default of the table that is called like it."""
    return name, f"figures.{name}:{name}", inputs or {"table": name}


# In the order of the report.
_FIGURES = (
    Figure(
        "gallery",
        "figures.gallery:gallery",
        {"image_paths": "images"},
        same("tasks", "seed"),
        config=("tasks_dir",),
        bank=True,
        category="Data",
        label="gallery of tasks",
        shown="png",
    ),
    Figure(
        "contact_sheets",
        "figures.contact_sheets:contact_sheets",
        {"image_paths": "images"},
        {"heldout": "heldout_datasets"},
        category="Data",
        label="contact sheets of the datasets",
        shown="png",
    ),
    Figure(
        *_drawn("task_grid", table="task_grid", datasets_table="datasets"),
        category="Data",
        label="grid of tasks and datasets",
    ),
    Figure(*_drawn("shortcuts"), category="Data", label="shortcut audit"),
    Figure(*_drawn("identification"), category="Identification", label="identification by encoder"),
    Figure(
        *_drawn("identification_by_task", table="identification", tasks_table="tasks"),
        ENCODER | same("baseline"),
        category="Identification",
        label="identification by task",
    ),
    Figure(*_drawn("confusion"), ENCODER, category="Identification", label="confusion of tasks"),
    Figure(
        *_drawn("task_distances"), ENCODER, category="Relations", label="distances between tasks"
    ),
    Figure(
        *_drawn("atlas_map", embeddings="shown_embeddings"),
        ENCODER | same("heldout_datasets", "seed"),
        category="Relations",
        label="map of the embedding",
    ),
    Figure(
        *_drawn("variance_shares", table="separation"),
        category="Separation",
        label="variance shares",
    ),
    Figure(
        *_drawn("geometry", table="comparisons"),
        category="Separation",
        label="agreement of encoders",
    ),
    Figure(
        *_drawn("dendrogram", table="clusters"),
        ENCODER,
        category="Relations",
        label="tree of the tasks",
    ),
    Figure(
        *_drawn("dataset_distances"),
        ENCODER,
        category="Relations",
        label="distances between datasets",
    ),
    Figure(
        *_drawn("trajectories", main="shown_embeddings", trajectory="shown_trajectories"),
        ENCODER,
        when="trajectories",
        category="Trajectories",
        label="trajectories in the plane",
    ),
    Figure(
        *_drawn("severity_curves", table="trajectories"),
        when="trajectories",
        category="Trajectories",
        label="severity and displacement",
    ),
    Figure(
        *_drawn("failures"),
        ENCODER,
        when="failures",
        category="Failures",
        label="how far failures lie",
    ),
    Figure(
        *_drawn("unseen_tasks"),
        {"encoder": "unseen_tasks_encoder"},
        when="unseen_tasks",
        category="Unseen tasks",
        label="where unseen tasks fall",
    ),
    Figure(*_drawn("scaling"), when="scaling", category="Scaling", label="what more data buys"),
    Figure(
        "multitask_gains",
        "figures.multitask.gains:multitask_gains",
        {"table": "multitask_gains"},
        when="multitask",
        category="Multi-task systems",
        label="gains",
    ),
    Figure(
        "multitask_tradeoff",
        "figures.multitask.tradeoff:multitask_tradeoff",
        {"table": "multitask_scores", "trial_paths": "multitask_trials"},
        when="multitask",
        category="Multi-task systems",
        label="front of fixed weights",
    ),
    Figure(
        "multitask_cost",
        "figures.multitask.cost:multitask_cost",
        {"cost_table": "multitask_cost", "gains_table": "multitask_gains"},
        when="multitask",
        category="Multi-task systems",
        label="cost and gain",
    ),
    Figure(
        "multitask_learning",
        "figures.multitask.learning:multitask_learning",
        {"history_paths": "multitask_histories"},
        when="multitask",
        category="Multi-task systems",
        label="learning curves",
    ),
    Figure(
        "affinity",
        "figures.multitask.affinity:affinity",
        {"table": "affinity"},
        when="multitask",
        category="Multi-task systems",
        label="affinity of targets",
    ),
    Figure(
        "multitask_pictures",
        "figures.multitask.pictures:multitask_pictures",
        {"example_paths": "multitask_examples"},
        when="multitask",
        category="Multi-task systems",
        label="pictures of what systems say",
        shown="png",
    ),
    Figure(
        "medformer_gains",
        "figures.medformer.gains:medformer_gains",
        {"table": "medformer_gains"},
        ARMS,
        when="medformer",
        category="Medformer",
        label="gains",
    ),
    Figure(
        "medformer_labels",
        "figures.medformer.labels:medformer_labels",
        {"scores": "medformer_scores", "labels": "medformer_labels"},
        ARMS,
        when="medformer",
        category="Medformer",
        label="scores and labels",
    ),
    Figure(
        "medformer_reconstructions",
        "figures.medformer.reconstructions:medformer_reconstructions",
        {"pictures": "medformer_reconstructions"},
        when="medformer",
        category="Medformer",
        label="masked pre-training",
        shown="png",
    ),
    Figure(
        "medformer_latents",
        "figures.medformer.latents:medformer_latents",
        {"latents": "medformer_latents"} | same("task_distances"),
        {"encoder": "atlas_encoder"},
        of_any=True,
        when="medformer",
        category="Medformer",
        label="latents",
    ),
    Figure(
        "medformer_occlusion",
        "figures.medformer.occlusion:medformer_occlusion",
        {"pictures": "medformer_occlusions"},
        when="medformer",
        category="Medformer",
        label="where arms look",
        shown="png",
    ),
    Figure(
        "medformer_pretexts",
        "figures.medformer.pretexts:medformer_pretexts",
        {"table": "medformer_pretexts", "ranks_table": "medformer_pretext_ranks"},
        ENCODER,
        when="medformer_pretexts",
        category="Medformer",
        label="pretexts and distance",
    ),
    Figure(
        "transfer_gains",
        "figures.transfer.gains:transfer_gains",
        MEASURED_TRANSFER,
        {"encoder": "atlas_encoder"},
        of_any=True,
        when="transfer_measured",
        category="Transfer",
        label="gains of every pair of tasks",
    ),
    Figure(
        "transfer_graph",
        "figures.transfer.graph:transfer_graph",
        MEASURED_TRANSFER,
        {"encoder": "atlas_encoder"},
        of_any=True,
        when="transfer_measured",
        category="Transfer",
        label="what to pre-train on",
    ),
    Figure(
        "transfer_prediction",
        "figures.transfer.prediction:transfer_prediction",
        {"table": "transfer_prediction", "predictors": "transfer_predictors"},
        when="transfer_measured",
        category="Transfer",
        label="predicted and measured gains",
    ),
    Figure(
        "transfer_regret",
        "figures.transfer.prediction:transfer_regret",
        {"table": "transfer_prediction"},
        when="transfer_measured",
        category="Transfer",
        label="what a choice of the source loses",
    ),
    Figure(
        "findings",
        "figures.findings:findings",
        same("summary", "controls", "datasets", "tasks", "identification"),
        {"parts": "parts_of_run"},
        of_any=True,
        category="Findings",
        label="findings in words",
        formats=("html",),
        shown="html",
    ),
)
FIGURES = {figure.name: figure for figure in _FIGURES}
