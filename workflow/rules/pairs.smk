# Pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow, one job a task and dataset
from medtaskatlas.pairs.failed_cells import failed_cells


rule pairs:
    input:
        RUN.pair_files(RUN.cells),
        RUN.pair_files(RUN.cells, set="failure"),
        RUN.pair_files(RUN.trajectory_cells, set="trajectory"),


rule make_pairs:
    input:
        images=f"{RESULTS}/images/{{dataset}}.arrow",
    output:
        main=f"{RESULTS}/pairs/main/{{task}}/{{dataset}}.arrow",
        failure=f"{RESULTS}/pairs/failure/{{task}}/{{dataset}}.arrow",
        trajectory=f"{RESULTS}/pairs/trajectory/{{task}}/{{dataset}}.arrow",
    log:
        f"{RESULTS}/logs/pairs/{{task}}/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pairs/{{task}}/{{dataset}}.tsv"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        amounts=lambda wildcards: RUN.amounts(wildcards.task),
        splits=RUN.config.splits.model_dump(),
        heldout=lambda wildcards: wildcards.dataset in RUN.heldout,
        seed=RUN.config.seed,
        tasks_dir=RUN.config.tasks_dir and str(RUN.config.tasks_dir),
        code=lambda wildcards: RUN.task_code(wildcards.task),
    message:
        "pairs of {wildcards.task} on {wildcards.dataset}"
    script:
        "../scripts/pairs.py"


# One bad cell stops its own job only (keep-going); the end says which they were, and why.
onerror:
    for line in failed_cells(
        RESULTS, dict.fromkeys([*RUN.cells, *RUN.trajectory_cells])
    ):
        print(f"medtaskatlas: {line}", file=sys.stderr)
