"""Tables of an atlas, one line each: rules, docs, costs and tests read them here.

Nothing heavy is imported, since every start of Snakemake reads this; functions are named and
imported in the job. A table's own code does not import this module: a new line changes no other
table's code hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medtaskatlas.atlas.columns import TableSpec

PACKAGE = "medtaskatlas"


@dataclass(frozen=True)
class Product:
    """A file that a function of the atlas makes from files and facts of a run.

    ``inputs`` and ``params`` map arguments of the function to tables of :data:`TABLES`, or to names
    in :mod:`medtaskatlas.run.products`. Tables that a run lacks are left out.
    """

    name: str
    function: str  # "module:function" below this package, called with all arguments by name
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    # Keys of the configuration that are arguments and only say where things lie: no rerun.
    config: tuple[str, ...] = ()
    of_any: bool = False  # whether it does without those of its tables that a run lacks
    bank: bool = False  # whether it depends on code and descriptions of all tasks
    when: str | None = None  # in runs with trajectories, failures, studies or multi-task systems
    minutes: int = 30  # asked of a cluster

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules that its code hash begins with."""
        return (f"{PACKAGE}.{self.function.partition(':')[0]}",)


@dataclass(frozen=True)
class Table(Product):
    """A table: results/<run>/tables/<name>.parquet."""

    # Multiples of `quantities` in run/budget/memory.py that its job holds.
    memory: Mapping[str, float] = field(default_factory=dict)
    local: bool = False  # whether it runs where Snakemake runs, never sent to a cluster
    schema: str = ""  # "module:NAME"; by default SPEC next to the function

    @property
    def _schema(self) -> str:
        beside = f"{self.function.partition(':')[0]}:SPEC"
        return f"{PACKAGE}.{self.schema or beside}"

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules that its code hash begins with: its function's and its schema's."""
        return tuple(dict.fromkeys([*super().modules, self._schema.partition(":")[0]]))

    def load_schema(self) -> TableSpec:
        """Columns, key and description, imported when asked for."""
        schema: TableSpec = resolve_name(self._schema)
        return schema


def same(*names: str) -> dict[str, str]:
    """Arguments that are called like what they are given."""
    return {name: name for name in names}


MEASURED = same("run", "seed")
PREDICTIONS = {"prediction_paths": "predictions"}
EMBEDDINGS = {"embedding_paths": "embeddings"}
DISTANCES = {"task_distances_path": "task_distances"}
MULTITASK = {"prediction_paths": "multitask_predictions"}
MULTITASK_COSTS = {"cost_paths": "multitask_costs"}
SYSTEMS = {"systems": "multitask_systems"}
MEDFORMER = {
    "prediction_paths": "medformer_predictions",
    "duplicates_path": "medformer_duplicates",
}
ARMS = {"arms": "medformer_arms"}

# In the order of the documentation.
_TABLES = (
    Table(
        "tasks",
        "atlas.catalogue:tasks_table",
        params=same("run", "tasks", "heldout_tasks"),
        config=("tasks_dir",),
        bank=True,
        local=True,
        schema="atlas.catalogue:TASKS",
    ),
    Table(
        "datasets",
        "atlas.catalogue:datasets_table",
        {"image_paths": "images"},
        same("run", "heldout_datasets"),
        schema="atlas.catalogue:DATASETS",
    ),
    Table(
        "task_grid",
        "atlas.catalogue:task_grid",
        {"pair_paths": "pairs", "image_paths": "images"},
        same("run", "tasks"),
        config=("tasks_dir",),
        schema="atlas.catalogue:TASK_GRID",
    ),
    Table(
        "identification",
        "atlas.identification:identification",
        PREDICTIONS,
        MEASURED | same("format_identifiable"),
        memory={"predictions": 1},
    ),
    Table(
        "confusion", "atlas.confusion:confusion", PREDICTIONS, MEASURED, memory={"predictions": 1}
    ),
    Table(
        "separation",
        "atlas.separation.table:separation",
        EMBEDDINGS,
        MEASURED,
        memory={"encoder": 1.3},
    ),
    Table(
        "task_distances",
        "atlas.distances:task_distances",
        EMBEDDINGS,
        MEASURED,
        memory={"encoder": 1},
    ),
    Table(
        "dataset_distances",
        "atlas.dataset_distances:dataset_distances",
        EMBEDDINGS,
        MEASURED,
        minutes=60,
        memory={"encoder": 1, "cell_matrix": 1},
    ),
    Table(
        "clusters",
        "atlas.clusters.table:clusters",
        DISTANCES | EMBEDDINGS,
        MEASURED,
        memory={"encoder": 1},
    ),
    Table(
        "neighbours",
        "atlas.task_neighbours:neighbours",
        EMBEDDINGS,
        MEASURED,
        minutes=60,
        memory={"encoder": 1},
    ),
    Table(
        "unseen_tasks",
        "atlas.unseen_tasks:unseen_tasks",
        {"fold_paths": "fold_embeddings", "baseline_paths": "baseline_embeddings"} | DISTANCES,
        MEASURED,
        when="unseen_tasks",
        memory={"folds": 1.3},
    ),
    Table(
        "scaling",
        "atlas.scaling:scaling",
        {"prediction_paths": "scaling_predictions"},
        MEASURED,
        when="scaling",
        memory={"predictions": 1},
    ),
    Table(
        "trajectories",
        "atlas.trajectories.table:trajectories",
        {
            "main_paths": "compared_embeddings",
            "trajectory_paths": "trajectory_embeddings",
            "pair_paths": "trajectory_pairs",
            "image_paths": "trajectory_images",
        },
        MEASURED | {"asked_of": "steady_encoders"},
        when="trajectories",
        minutes=60,
        memory={"compared": 0.4, "trajectories": 0.6},
    ),
    Table(
        "failures",
        "atlas.failures.table:failures",
        {"main_paths": "compared_embeddings", "failure_paths": "failure_embeddings"},
        MEASURED,
        when="failures",
        minutes=60,
        memory={"compared": 1, "failures": 0.5},
    ),
    Table(
        "controls",
        "atlas.controls:controls",
        PREDICTIONS | EMBEDDINGS | {"comparisons_path": "comparisons"},
        MEASURED,
        memory={"encoder": 1, "predictions": 1},
    ),
    Table(
        "comparisons",
        "atlas.comparisons.table:comparisons",
        PREDICTIONS | EMBEDDINGS | DISTANCES,
        MEASURED,
        memory={"encoder": 1, "encoders": 0.5, "predictions": 1},
    ),
    Table(
        "shortcuts",
        "atlas.shortcuts.table:shortcuts",
        {"pair_paths": "pairs", "image_paths": "images_of_pairs"},
        MEASURED | same("heldout_datasets", "heldout_tasks"),
        minutes=60,
        memory={"pairs": 1},
    ),
    Table(
        "multitask_scores",
        "atlas.multitask.scores:multitask_scores",
        MULTITASK,
        MEASURED,
        when="multitask",
        minutes=60,
        memory={"statistics": 1},
    ),
    Table(
        "multitask_gains",
        "atlas.multitask.gains:multitask_gains",
        MULTITASK,
        MEASURED | SYSTEMS,
        when="multitask",
        minutes=60,
        memory={"statistics": 1},
    ),
    Table(
        "multitask_cost",
        "atlas.multitask.cost:multitask_cost",
        MULTITASK_COSTS,
        same("run") | SYSTEMS,
        when="multitask",
        local=True,
    ),
    Table(
        "ums_rep",
        "atlas.multitask.ums_rep:ums_rep",
        MULTITASK | MULTITASK_COSTS,
        MEASURED | SYSTEMS,
        when="multitask",
        memory={"statistics": 1},
    ),
    Table(
        "affinity",
        "atlas.multitask.affinity:affinity",
        MULTITASK,
        MEASURED | SYSTEMS,
        when="multitask",
        memory={"statistics": 1},
    ),
    Table(
        "medformer_duplicates",
        "atlas.medformer.duplicates:medformer_duplicates",
        {"image_paths": "medformer_sets"},
        same("run"),
        when="medformer",
    ),
    Table(
        "medformer_scores",
        "atlas.medformer.scores:medformer_scores",
        MEDFORMER,
        MEASURED,
        when="medformer",
        minutes=60,
        memory={"medformer": 1},
    ),
    Table(
        "medformer_gains",
        "atlas.medformer.gains:medformer_gains",
        MEDFORMER,
        MEASURED | ARMS | {"steps": "medformer_steps"},
        when="medformer",
        minutes=60,
        memory={"medformer": 1},
    ),
    Table(
        "medformer_labels",
        "atlas.medformer.labels:medformer_labels",
        {"prediction_paths": "medformer_predictions"},
        MEASURED | ARMS,
        when="medformer",
        minutes=60,
        memory={"medformer": 1},
    ),
    Table(
        "medformer_ablations",
        "atlas.medformer.ablations:medformer_ablations",
        {"gains_path": "medformer_gains"},
        same("run") | ARMS,
        when="medformer",
        local=True,
    ),
    Table(
        "medformer_convergence",
        "atlas.medformer.convergence:medformer_convergence",
        {"cost_paths": "medformer_costs", "history_paths": "medformer_histories"},
        same("run") | ARMS,
        when="medformer",
        local=True,
    ),
    Table(
        "medformer_pretexts",
        "atlas.medformer.pretexts:medformer_pretexts",
        DISTANCES | {"gains_path": "medformer_gains"},
        same("run") | {"pretexts": "medformer_pretexts", "targets": "medformer_targets"},
        when="medformer_pretexts",
        local=True,
    ),
    Table(
        "medformer_pretext_ranks",
        "atlas.medformer.pretext_ranks:medformer_pretext_ranks",
        {"pretexts_path": "medformer_pretexts"},
        MEASURED,
        when="medformer_pretexts",
    ),
    Table(
        "functional_distance",
        "atlas.transfer.functional_distance:functional_distance",
        {"kernel_paths": "transfer_kernels"},
        MEASURED,
        when="transfer",
        memory={"kernels": 1},
    ),
    Table(
        "graded_distance",
        "atlas.transfer.graded_distance:graded_distance",
        {"error_paths": "graded_errors", "fold_paths": "graded_folds"},
        MEASURED,
        when="transfer_graded",
    ),
    Table(
        "transfer_gains",
        "atlas.transfer.gains:transfer_gains",
        {"start_paths": "transfer_starts"},
        MEASURED | same("families", "heldout_datasets"),
        when="transfer_starts",
    ),
    Table(
        "task_affinity",
        "atlas.transfer.affinity:task_affinity",
        {"affinity_paths": "transfer_affinity"},
        MEASURED | same("families"),
        when="transfer_affinity",
    ),
    Table(
        "transfer_predictors",
        "atlas.transfer.predictors:transfer_predictors",
        {
            "gains_path": "transfer_gains",
            "affinity_path": "task_affinity",
            "functional_path": "functional_distance",
            "graded_path": "graded_distance",
            "datasets_path": "datasets",
            "embedding_paths": "transfer_embeddings",
        },
        MEASURED | {"training_datasets": "transfer_training"},
        when="transfer_measured",
        memory={"encoder": 1},
    ),
    Table(
        "transfer_prediction",
        "atlas.transfer.prediction:transfer_prediction",
        {
            "predictors_path": "transfer_predictors",
            "gains_path": "transfer_gains",
            "affinity_path": "task_affinity",
        },
        MEASURED,
        when="transfer_measured",
        minutes=60,
    ),
    Table(
        "summary",
        "atlas.summary:summary",
        same(
            *("identification", "comparisons", "separation", "task_distances", "clusters"),
            *("controls", "shortcuts", "unseen_tasks", "scaling", "trajectories", "failures"),
            *("multitask_gains", "ums_rep", "medformer_gains", "medformer_scores"),
            *("medformer_pretext_ranks", "transfer_prediction"),
        ),
        same("run") | ARMS,
        of_any=True,
        local=True,
    ),
)
TABLES = {table.name: table for table in _TABLES}
