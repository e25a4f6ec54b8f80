# Pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow, one job a file, or a job for many tasks of a dataset
from medtaskatlas.batching import batches, cells_per_job, jobs_are_sent_away
from medtaskatlas.pairs.failed_cells import RULE_OF_SET, failed_cells

CELLS_PER_JOB = cells_per_job(
    RUN.config.cells_per_job, sent_away=jobs_are_sent_away(workflow)
)


rule pairs:
    input:
        RUN.pair_files(RUN.cells),
        RUN.pair_files(RUN.cells, set="failure"),
        RUN.pair_files(RUN.trajectory_cells, set="trajectory"),


# A rule a set: what the failures or the trajectories of a cell depend on makes no main pair anew.
for set_name, rule_name in RULE_OF_SET.items() if CELLS_PER_JOB == 1 else []:

    rule:
        name:
            f"make_{rule_name}"
        input:
            images=f"{RESULTS}/images/{{dataset}}.arrow",
        output:
            **{set_name: f"{RESULTS}/pairs/{set_name}/{{task}}/{{dataset}}.arrow"},
        log:
            f"{RESULTS}/logs/{rule_name}/{{task}}/{{dataset}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/{rule_name}/{{task}}/{{dataset}}.tsv"
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=500,
            runtime=30,
        params:
            # Where a task of the user's own lies is no param, but its code is.
            **{
                key: lambda wildcards, key=key, set_name=set_name: RUN.pair_params(
                    set_name, wildcards.task, wildcards.dataset
                )[key]
                for key in ("amounts", "splits", "heldout", "seed", "code")
            },
        message:
            f"{rule_name} of {{wildcards.task}} on {{wildcards.dataset}}"
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
                for task in batch.tasks
                for set in RUN.sets_of(task)
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
            runtime=30 + len(batch.tasks),
        params:
            # Of each file what a job of its own has: see medtaskatlas.cell_records.
            cells=lambda wildcards, tasks=batch.tasks: {
                task: {
                    set: RUN.pair_params(set, task, wildcards.dataset)
                    for set in RUN.sets_of(task)
                }
                for task in tasks
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
