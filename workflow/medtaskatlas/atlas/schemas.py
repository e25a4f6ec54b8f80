"""What each table holds: its columns, their types, ranges and meanings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medtaskatlas.atlas.roles import QUERY_SETS


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, dtype, description
        Name, pandas type and meaning.
    nullable
        Whether it may be null.
    low, high
        Inclusive bounds.
    values
        The only values allowed, if any.
    """

    name: str
    dtype: str
    description: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Attributes
    ----------
    description
        What the table answers.
    key
        Columns that together name a row.
    columns
        In order.
    """

    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def _text(name: str, description: str, *values: str, nullable: bool = False) -> Column:
    return Column(name, "str", description, nullable, values=values)


def _number(
    name: str,
    description: str,
    low: float | None = None,
    high: float | None = None,
    *,
    nullable: bool = True,
) -> Column:
    return Column(name, "float64", description, nullable, low, high)


def _count(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, "Int64", description, nullable, low=0)


def _yes(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, "boolean" if nullable else "bool", description, nullable)


RUN = _text("run", "name of the run")
ENCODER = _text("encoder", "name of the encoder")
SEED = Column("seed", "Int64", "training seed; null: over all seeds", nullable=True)
SPLIT = _text(
    "split",
    "query set: groups = test groups of trained datasets, datasets = datasets "
    "kept out of training, tasks = tasks kept out of training",
    *QUERY_SETS,
)
ESTIMATE = (
    _number("estimate", "the number; null where `note` says why"),
    _number("seed_sd", "standard deviation over seeds; null with one seed", 0),
    _number("ci_low", "lower end of the 95 % interval; null where `note` says why"),
    _number("ci_high", "upper end of the 95 % interval"),
    _text("ci_method", "how the interval was made", nullable=True),
)
N = (
    _count("n_pairs", "pairs that the number rests on"),
    _count("n_images", "distinct images among them"),
    _count("n_groups", "distinct groups (patients, volumes, regions) among them"),
    _count("n_datasets", "distinct datasets among them"),
)
NOTE = _text("note", "reason of a null, or a caution", nullable=True)
P = (
    _number("p", "p of the test; null: no test", 0, 1),
    _number("p_adjusted", "p after Benjamini-Hochberg within `p_family`", 0, 1),
    _text("p_family", "tests that are adjusted together", nullable=True),
)
ANY_SPLIT = replace(SPLIT, nullable=True)

SPECS: dict[str, TableSpec] = {
    "tasks": TableSpec(
        "The vision tasks of the run and what each does.",
        ("run", "task"),
        (
            RUN,
            _text("task", "name of the task"),
            _text("family", "family that we assign it to"),
            _text("description", "what it does, in a line"),
            _text("needs", "annotation that an image must have; empty: none"),
            _text("severity_effect", "what grows with severity; null: no degrees", nullable=True),
            _text("severity_unit", "unit of the effect", nullable=True),
            _number("severity_min", "effect at severity 0"),
            _number("severity_max", "effect at severity 1"),
            _yes("format_identifiable", "whether the format of the output alone names the task"),
            _yes("heldout", "whether it was kept out of training"),
        ),
    ),
    "datasets": TableSpec(
        "The datasets of the run: where they come from, how many images and independent groups.",
        ("run", "dataset"),
        (
            RUN,
            _text("dataset", "name of the dataset"),
            _text("source", "collection that it is fetched from"),
            _text("modality", "imaging modality"),
            _text("body_part", "part of the body", nullable=True),
            _text("licence", "licence (SPDX or LicenseRef)"),
            _text(
                "annotation",
                "ground_truth: made by people; derived: computed from the image; none",
                "ground_truth",
                "derived",
                "none",
            ),
            _text("title", "title for people", nullable=True),
            _text("citation", "whom to cite", nullable=True),
            _text("annotation_note", "how the annotation was made", nullable=True),
            _text("group_note", "what a group is", nullable=True),
            _text(
                "group_source",
                "where groups come from: published, pattern, derived, region, unknown",
                nullable=True,
            ),
            _text("provides", "kinds of annotation: mask, instances, boxes, label", nullable=True),
            _text("classes", "names of the classes of its masks", nullable=True),
            _yes("heldout", "whether it was kept out of training"),
            _count("n_images", "prepared images"),
            _count("n_groups", "independent groups"),
            _count("n_train", "images to train on"),
            _count("n_val", "images for choices during training"),
            _count("n_test", "images that are only measured on"),
            _count("groups_train", "groups to train on"),
            _count("groups_val", "groups for choices during training"),
            _count("groups_test", "groups that are only measured on"),
            _count("n_found", "images found in the raw data", nullable=True),
            _count("n_excluded", "images left out in preparation", nullable=True),
            _text("excluded", "reasons and numbers of what was left out, JSON", nullable=True),
            _count("empty_masks", "images whose mask is empty; null: no masks", nullable=True),
            _count(
                "n_repaired",
                "boxes clipped and images with NaN voxels; the log of prepare names them",
                nullable=True,
            ),
            _count(
                "n_joined", "images put into another group, since they repeat one", nullable=True
            ),
            _count(
                "near_duplicates_across_splits",
                "pairs of images that are nearly the same in two published splits",
                nullable=True,
            ),
            _text("overlaps", "datasets that share patients or images with it", nullable=True),
            _count("image_size", "side of the prepared images, pixels", nullable=True),
            _count("native_px_min", "smallest side before preparation, pixels", nullable=True),
            _count("native_px_max", "largest side before preparation, pixels", nullable=True),
            _count(
                "intensity_min", "darkest value of the prepared images, 0 to 255", nullable=True
            ),
            _count(
                "intensity_max", "brightest value of the prepared images, 0 to 255", nullable=True
            ),
            _text("manifest_sha256", "hash of the list of raw files", nullable=True),
            _text("content_sha256", "hash of the prepared images", nullable=True),
        ),
    ),
    "task_grid": TableSpec(
        "Which task was made on which dataset, and how much of it.",
        ("run", "task", "dataset"),
        (
            RUN,
            _text("task", "name of the task"),
            _text("family", "its family"),
            _text("dataset", "name of the dataset"),
            _text("modality", "its modality", nullable=True),
            _yes("applicable", "whether pairs exist"),
            _text("reason", "why there are none", nullable=True),
            _count("n_pairs", "pairs"),
            _count("n_images", "distinct images"),
            _count("n_groups", "distinct groups"),
        ),
    ),
    "identification": TableSpec(
        "How well an embedding names the task of pairs never seen in training.",
        ("run", "encoder", "seed", "split", "method", "task_subset", "measure", "level", "name"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text("kind", "kind of the encoder"),
            _text(
                "method",
                "knn: 20 nearest training pairs by cosine; linear: logistic "
                "regression; boosted: gradient boosted trees",
                "knn",
                "linear",
                "boosted",
            ),
            _text(
                "task_subset",
                "all tasks, or only those that the format of the output does not "
                "give away (queries only; the gallery stays whole)",
                "all",
                "not_format_identifiable",
            ),
            _text(
                "measure",
                "balanced_accuracy: share named right, every (dataset, task) cell "
                "counting alike; family_balanced_accuracy: the same for the family; kappa: "
                "Cohen's kappa of the balanced confusion; map_at_r: mean average precision at R",
                "balanced_accuracy",
                "family_balanced_accuracy",
                "kappa",
                "map_at_r",
            ),
            _text(
                "level", "what the row is about", "overall", "family", "task", "dataset", "modality"
            ),
            _text("name", "name of the family, task, dataset or modality; `all` for overall"),
            *ESTIMATE,
            _number(
                "chance",
                "rate that the encoder's answers would reach if they were dealt out at random",
                0,
                1,
            ),
            *N,
            NOTE,
        ),
    ),
    "confusion": TableSpec(
        "Which task is taken for which (kNN); rates of a true task sum to 1.",
        ("run", "encoder", "split", "true_task", "predicted_task"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text("method", "knn", "knn"),
            _text("true_task", "task of the pairs"),
            _text("true_family", "its family"),
            _text("predicted_task", "task that was named"),
            _text("predicted_family", "its family"),
            _number("count", "pairs named so, mean over seeds", 0, nullable=False),
            *ESTIMATE,
            *N,
            NOTE,
        ),
    ),
    "separation": TableSpec(
        "What arranges the embedding: the task or the dataset?",
        ("run", "encoder", "split", "measure", "factor", "within"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text("kind", "kind of the encoder"),
            _text(
                "measure",
                "silhouette (cosine, -1 to 1); silhouette_difference: by task minus "
                "by dataset, a pair at a time; omega_squared: share of variance, balanced "
                "crossed subset; permdisp: F of distances to the centroid",
                "silhouette",
                "silhouette_difference",
                "omega_squared",
                "permdisp",
            ),
            _text(
                "factor", "what pairs are grouped by: task, family, dataset, modality, interaction"
            ),
            _text("within", "all pairs, or one dataset or task at a time, or the crossed subset"),
            *ESTIMATE,
            *P,
            *N,
            NOTE,
        ),
    ),
    "task_distances": TableSpec(
        "How far apart tasks lie, over all seeds.",
        ("run", "encoder", "split", "metric", "task_a", "task_b"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text(
                "metric",
                "centroid_cosine: 1 - cosine of the dataset-balanced centroids; "
                "energy: energy distance as a share of twice the mean distance between the tasks",
                "centroid_cosine",
                "energy",
            ),
            _text("task_a", "a task"),
            _text("task_b", "another task, later in the alphabet"),
            _text("family_a", "family of task_a"),
            _text("family_b", "family of task_b"),
            *ESTIMATE,
            *N,
            NOTE,
        ),
    ),
    "clusters": TableSpec(
        "Do the tasks fall into the families that we assign, when nobody tells?",
        ("run", "encoder", "split", "metric", "level", "measure", "task"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text("metric", "metric of task_distances"),
            _text("linkage", "how clusters are joined", "average"),
            _text("level", "partition: of all tasks; task: of one", "partition", "task"),
            _text(
                "measure",
                "ami, ari: agreement of clusters and families, 0 at chance; "
                "cophenetic: how well the tree keeps the distances; silhouette: of the task in "
                "its family",
                "ami",
                "ari",
                "cophenetic",
                "silhouette",
            ),
            _text("task", "the task; null for a partition", nullable=True),
            _text("family", "its family", nullable=True),
            _count("cluster", "number of the cluster that the task falls into", nullable=True),
            _count("n_clusters", "clusters that the tree is cut into"),
            *ESTIMATE,
            *P,
            *N,
            NOTE,
        ),
    ),
    "controls": TableSpec(
        "Checks that would fail if the measurement were wrong.",
        ("run", "control", "encoder", "split"),
        (
            RUN,
            ENCODER,
            SEED,
            SPLIT,
            _text("control", "name of the control"),
            _text("expectation", "what must come out, in words"),
            *ESTIMATE,
            _number("reference", "value that the estimate is held against"),
            _yes("passed", "whether it came out; null: could not be run", nullable=True),
            *N,
            NOTE,
        ),
    ),
    "comparisons": TableSpec(
        "Is one encoder better than another? Differences on the same pairs, draw by draw.",
        ("run", "contrast", "encoder", "method", "other", "other_method", "split", "measure"),
        (
            RUN,
            _text(
                "contrast",
                "pair: two encoders, both kNN; best_baseline: against the baseline "
                "with the best kNN estimate; best_probe: against the best baseline with any "
                "method, supervised probes included",
                "pair",
                "best_baseline",
                "best_probe",
            ),
            ENCODER,
            _text("kind", "kind of the encoder"),
            _text("method", "method of the encoder"),
            _text("other", "the encoder it is compared with"),
            _text("other_kind", "its kind"),
            _text("other_method", "its method"),
            SEED,
            SPLIT,
            _text("measure", "balanced_accuracy, family_balanced_accuracy or map_at_r"),
            *ESTIMATE,
            *P,
            *N,
            NOTE,
        ),
    ),
    "shortcuts": TableSpec(
        "Could a network tell the tasks by debris? How far probes get that see restricted views.",
        ("run", "view", "split", "level", "name"),
        (
            RUN,
            _text(
                "view",
                "what the probe sees. border: a strip of 2 pixels along the border of both sides; "
                "histogram: grey levels and colours of both sides without position; input_only, "
                "output_only: one side; residue: what is finer than 3 pixels, of both sides; all: "
                "both sides whole (features of the `pixels` baseline); shuffled: the same with "
                "labels permuted in training",
                "border",
                "histogram",
                "input_only",
                "output_only",
                "residue",
                "all",
                "shuffled",
            ),
            SPLIT,
            _text("level", "what the row is about", "overall", "task"),
            _text("name", "name of the task; `all` for overall"),
            _text("family", "family of the task", nullable=True),
            *ESTIMATE,
            _number(
                "chance",
                "probability that the task would get if the probe's answers were dealt out at "
                "random among the pairs of its datasets",
                0,
                1,
            ),
            _number(
                "explained",
                "probability of the true task that its meaning explains: 1 if the view may name "
                "it, 1/k if it may narrow it down to k look-alikes; null: nothing beyond chance, "
                "or nothing stated",
                0,
                1,
            ),
            _number("named_right", "share whose true task got the largest probability", 0, 1),
            _text("rival", "other task that gets most probability on its pairs", nullable=True),
            _number("rival_rate", "mean probability of the rival", 0, 1),
            _yes(
                "expected",
                "whether the task's meaning explains that this view names it; null: not stated",
                nullable=True,
            ),
            _yes(
                "flagged",
                "whether ci_low is more than 0.1 above chance and above what is explained; null: "
                "not judged, or no interval",
                nullable=True,
            ),
            _text("reason", "why it is or is not expected"),
            *N,
            NOTE,
        ),
    ),
    "summary": TableSpec(
        "The findings in sentences, each with its number and the control it depends on.",
        ("run", "finding", "encoder", "split"),
        (
            RUN,
            _text("finding", "name of the finding"),
            ENCODER,
            SEED,
            SPLIT,
            _text("sentence", "the finding for a reader"),
            _yes("supported", "whether interval or test speak for it and its control passed"),
            _text("control", "control that it depends on", nullable=True),
            _yes(
                "control_passed",
                "whether that control passed; null: none or not run",
                nullable=True,
            ),
            *ESTIMATE,
            *P,
            *N,
            NOTE,
        ),
    ),
}
