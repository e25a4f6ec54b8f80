# Pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow, one job a task and dataset, or more of them
from medtaskatlas.batching import batches, cells_per_job, jobs_are_sent_away
from medtaskatlas.pairs.failed_cells import failed_cells

CELLS_PER_JOB = cells_per_job(
    RUN.config.cells_per_job, sent_away=jobs_are_sent_away(workflow)
)


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
    wildcard_constraints:
        # Where a job makes many cells, no file is left to this rule.
        task="|".join(RUN.made_tasks) if CELLS_PER_JOB == 1 else "(?!)",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=500,
        runtime=more_each_time(30),
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


# The same files, many tasks of a dataset in one job.
for batch in batches(RUN.made_cells, CELLS_PER_JOB) if CELLS_PER_JOB > 1 else []:

    rule:
        name:
            f"make_pairs_{batch.name}"
        input:
            images=f"{RESULTS}/images/{{dataset}}.arrow",
        output:
            [
                f"{RESULTS}/pairs/{set}/{task}/{{dataset}}.arrow"
                for set in ("main", "failure", "trajectory")
                for task in batch.tasks
            ],
        log:
            f"{RESULTS}/logs/pairs/{batch.name}/{{dataset}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/pairs/{batch.name}/{{dataset}}.tsv"
        wildcard_constraints:
            dataset="|".join(batch.datasets),
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=1000,
            runtime=more_each_time(30 + len(batch.tasks)),
        params:
            # Of each cell what make_pairs has: see medtaskatlas.cell_records.
            cells=lambda wildcards, tasks=batch.tasks: {
                task: RUN.cell_params(task, wildcards.dataset) for task in tasks
            },
            logs=f"{RESULTS}/logs/pairs",
        message:
            f"pairs of {len(batch.tasks)} tasks on {{wildcards.dataset}}"
        script:
            "../scripts/pairs.py"


# One bad cell stops its own job only (keep-going); the end says which they were, and why.
onerror:
    for line in failed_cells(RESULTS, RUN.made_cells):
        print(f"medtaskatlas: {line}", file=sys.stderr)
