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
    text,
)

SPEC = TableSpec(
    "Do the tasks fall into the families that we assign, when nobody tells?",
    ("run", "encoder", "split", "metric", "level", "measure", "task"),
    (
        RUN,
        ENCODER,
        SEED,
        SPLIT,
        text("metric", "metric of task_distances"),
        text("linkage", "how clusters are joined", "average"),
        text("level", "partition: of all tasks; task: of one", "partition", "task"),
        text(
            "measure",
            "ami, ari: agreement of clusters and families, 0 at chance; "
            "cophenetic: how well the tree keeps the distances; silhouette: of the task in "
            "its family",
            "ami",
            "ari",
            "cophenetic",
            "silhouette",
        ),
        text("task", "the task; null for a partition", nullable=True),
        text("family", "its family", nullable=True),
        count("cluster", "number of the cluster that the task falls into", nullable=True),
        count("n_clusters", "clusters that the tree is cut into"),
        *ESTIMATE,
        *P,
        *N,
        NOTE,
    ),
)
