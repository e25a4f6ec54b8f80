# Pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow
from medtaskatlas.run.batching import cells_per_job, jobs_go_to_cluster, pair_batches
from medtaskatlas.pairs.failed_cells import failed_cells

CELLS_PER_JOB = cells_per_job(
    RUN.config.cells_per_job, on_cluster=jobs_go_to_cluster(workflow)
)


rule pairs:
    input:
        RUN.pair_files(RUN.cells),
        RUN.pair_files(RUN.cells, set="failure"),
        RUN.pair_files(RUN.trajectory_cells, set="trajectory"),


# Here, a job a cell makes its main pairs, which trainings learn from, so that what changes in one
# cell makes no other anew. Its failures and its trajectories are made for all tasks of a dataset by
# one job each, which saves hundreds of starts; embeddings of these take all of them anyway. Where
# jobs are sent to a cluster, one makes all three for many tasks.
if CELLS_PER_JOB == 1:

    rule make_pairs:
        input:
            images=f"{RESULTS}/images/{{dataset}}.arrow",
        output:
            main=f"{RESULTS}/pairs/main/{{task}}/{{dataset}}.arrow",
        log:
            f"{RESULTS}/logs/pairs/{{task}}/{{dataset}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/pairs/{{task}}/{{dataset}}.tsv"
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=500,
            runtime=runtime_by_attempt(30),
        params:
            # Where a task of the user's own lies is no param, but its code is.
            **{
                key: lambda wildcards, key=key: RUN.pair_params(
                    "main", wildcards.task, wildcards.dataset
                )[key]
                for key in ("amounts", "splits", "heldout", "seed", "code")
            },
        message:
            "pairs of {wildcards.task} on {wildcards.dataset}"
        script:
            "../scripts/pairs.py"


for name, sets, batch in pair_batches(RUN, CELLS_PER_JOB):

    rule:
        name:
            f"make_{name}_{batch.name}"
        input:
            images=f"{RESULTS}/images/{{dataset}}.arrow",
        output:
            [
                f"{RESULTS}/pairs/{set}/{task}/{{dataset}}.arrow"
                for task in batch.tasks
                for set in RUN.sets_of(task)
                if set in sets
            ],
        log:
            f"{RESULTS}/logs/{name}/{batch.name}/{{dataset}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/{name}/{batch.name}/{{dataset}}.tsv"
        wildcard_constraints:
            dataset="|".join(batch.datasets),
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=1000,
            runtime=runtime_by_attempt(30 + len(batch.tasks)),
        params:
            # Of each file what a job of its own has: see medtaskatlas.snakemake_ext.patches.
            cells=lambda wildcards, tasks=batch.tasks, sets=sets: {
                task: {
                    set: RUN.pair_params(set, task, wildcards.dataset)
                    for set in RUN.sets_of(task)
                    if set in sets
                }
                for task in tasks
            },
            logs=f"{RESULTS}/logs/{name}",
        message:
            f"{name} of {len(batch.tasks)} tasks on {{wildcards.dataset}}"
        script:
            "../scripts/pairs.py"


# One bad cell stops its own job only (keep-going); the end says which they were, and why.
onerror:
    for line in failed_cells(RESULTS, RUN.pair_cells):
        print(f"medtaskatlas: {line}", file=sys.stderr)
