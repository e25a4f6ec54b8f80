"""The table `clusters`."""

from medtaskatlas.atlas.schemas.columns import (
    ENCODER,
    ESTIMATE,
    NOTE,
    RUN,
    SEED,
    SPLIT,
    N,
    P,
    TableSpec,
    count,
    number,
    text,
)

SPEC = TableSpec(
    "Do the tasks fall into the families that we assign, when nobody tells?",
    ("run", "encoder", "split", "metric", "level", "measure", "task", "members"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("metric", "metric of task_distances"),
        text("linkage", "how clusters are joined", "average"),
        text(
            "level",
            "partition: of all tasks; task: of one; branch: of an inner node of the tree "
            "(centroid_cosine only)",
            "partition",
            "task",
            "branch",
        ),
        text(
            "measure",
            "ami, ari: agreement of the families with as many clusters, 0 at chance; "
            "silhouette_best: mean silhouette of the tree cut where it is largest, families "
            "hidden; ami_label_free, ari_label_free: agreement of the families with that cut; "
            "permanova: pseudo-F of the families on the distances (Anderson, 2001); "
            "anosim: R of the families on ranked distances (Clarke, 1993); "
            "cophenetic: how well the tree keeps the distances; silhouette: of the task in "
            "its family; support: share of the bootstrap draws (dataset > group > seed) whose "
            "tree has a branch of the same tasks",
            "ami",
            "ari",
            "silhouette_best",
            "ami_label_free",
            "ari_label_free",
            "permanova",
            "anosim",
            "cophenetic",
            "silhouette",
            "support",
        ),
        text("task", "the task; null for a partition or a branch", nullable=True),
        text("family", "its family, or the one family of a branch", nullable=True),
        text("members", "tasks of a branch, with commas between; else null", nullable=True),
        number("height", "distance at which a branch is joined; else null", 0),
        count("cluster", "number of the cluster that the task falls into", nullable=True),
        count("n_clusters", "clusters that the tree is cut into; null for a branch", nullable=True),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
