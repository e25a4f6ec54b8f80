# Atlas: results/<run>/predictions/<encoder>/seed<k>.parquet and tables/<table>.parquet

TABLES = [
    "tasks",
    "datasets",
    "task_grid",
    "identification",
    "confusion",
    "comparisons",
    "separation",
    "task_distances",
    "dataset_distances",
    "neighbours",
    "clusters",
    "controls",
    "shortcuts",
    *(["trajectories"] if "trajectory" in RUN.described_sets else []),
    *(["failures"] if "failure" in RUN.described_sets else []),
    *(["unseen_tasks"] if RUN.config.unseen_tasks else []),
    *(["scaling"] if RUN.config.scaling else []),
    "summary",
]


# All that an encoder has with each of its seeds.
ENCODER_FILES = [f"{encoder}/seed{seed}.parquet" for encoder, seed in RUN.encoder_runs]
EMBEDDINGS = [f"{RESULTS}/embeddings/{file}" for file in ENCODER_FILES]
PREDICTIONS = [f"{RESULTS}/predictions/{file}" for file in ENCODER_FILES]

# Of the encoders whose failures and trajectories are looked at, by set.
DESCRIBED = {
    set: [
        f"{RESULTS}/embeddings/{encoder}/seed{seed}{ending}.parquet"
        for encoder, seed in RUN.described_runs
    ]
    for set, ending in {
        "main": "",
        "failure": ".failure",
        "trajectory": ".trajectory",
    }.items()
}


rule tables:
    input:
        expand(f"{RESULTS}/tables/{{table}}.parquet", table=TABLES),


rule predict:
    input:
        embeddings=f"{RESULTS}/embeddings/{{encoder}}/seed{{seed}}.parquet",
    output:
        predictions=f"{RESULTS}/predictions/{{encoder}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/predict/{{encoder}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{encoder}}/seed{{seed}}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.asked(lambda wildcards: MEMORY.predict_mb(wildcards.encoder)),
        runtime=more_each_time(60),
    params:
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        probes=True,
        code=code_hash("medtaskatlas.atlas.predict"),
    message:
        "name the tasks of held-out pairs with {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/predict.py"


use rule predict as predict_point with:
    input:
        embeddings=f"{RESULTS}/studies/{{point}}/embeddings.parquet",
    output:
        predictions=f"{RESULTS}/studies/{{point}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/predict/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{point}}.tsv"
    resources:
        mem_mb=1500,
        runtime=more_each_time(60),
    params:
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        probes=False,
        code=code_hash("medtaskatlas.atlas.predict"),
    message:
        "name the tasks of held-out pairs with {wildcards.point}"


rule table_tasks:
    output:
        table=f"{RESULTS}/tables/tasks.parquet",
    log:
        f"{RESULTS}/logs/tables/tasks.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/tasks.tsv"
    localrule: True
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        tasks=list(RUN.tasks),
        heldout_tasks=RUN.config.heldout.tasks,
        # The description is the docstring, which is no code.
        bank=[
            (RUN.task_code(name), task.description) for name, task in RUN.tasks.items()
        ],
        code=code_hash("medtaskatlas.atlas.catalogue"),
    message:
        "table tasks"
    script:
        "../scripts/table_tasks.py"


rule table_datasets:
    input:
        images=expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),
    output:
        table=f"{RESULTS}/tables/datasets.parquet",
    log:
        f"{RESULTS}/logs/tables/datasets.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/datasets.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        code=code_hash("medtaskatlas.atlas.catalogue"),
    message:
        "table datasets"
    script:
        "../scripts/table_datasets.py"


rule table_task_grid:
    input:
        pairs=RUN.pair_files(RUN.cells),
        images=expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),
    output:
        table=f"{RESULTS}/tables/task_grid.parquet",
    log:
        f"{RESULTS}/logs/tables/task_grid.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/task_grid.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        tasks=list(RUN.tasks),
        code=code_hash("medtaskatlas.atlas.catalogue"),
    message:
        "table task_grid"
    script:
        "../scripts/table_task_grid.py"


rule table_identification:
    input:
        predictions=PREDICTIONS,
    output:
        table=f"{RESULTS}/tables/identification.parquet",
    log:
        f"{RESULTS}/logs/tables/identification.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/identification.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("identification"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        format_identifiable=[
            t.name for t in RUN.tasks.values() if t.format_identifiable
        ],
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.identification"),
    message:
        "table identification"
    script:
        "../scripts/table_identification.py"


rule table_confusion:
    input:
        predictions=PREDICTIONS,
    output:
        table=f"{RESULTS}/tables/confusion.parquet",
    log:
        f"{RESULTS}/logs/tables/confusion.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/confusion.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("confusion"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.confusion"),
    message:
        "table confusion"
    script:
        "../scripts/table_confusion.py"


rule table_comparisons:
    input:
        predictions=PREDICTIONS,
        embeddings=EMBEDDINGS,
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
    output:
        table=f"{RESULTS}/tables/comparisons.parquet",
    log:
        f"{RESULTS}/logs/tables/comparisons.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/comparisons.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("comparisons"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.comparisons.table"),
    message:
        "table comparisons"
    script:
        "../scripts/table_comparisons.py"


rule table_separation:
    input:
        embeddings=EMBEDDINGS,
    output:
        table=f"{RESULTS}/tables/separation.parquet",
    log:
        f"{RESULTS}/logs/tables/separation.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/separation.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("separation"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.separation.table"),
    message:
        "table separation"
    script:
        "../scripts/table_separation.py"


rule table_task_distances:
    input:
        embeddings=EMBEDDINGS,
    output:
        table=f"{RESULTS}/tables/task_distances.parquet",
    log:
        f"{RESULTS}/logs/tables/task_distances.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/task_distances.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("task_distances"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.distances"),
    message:
        "table task_distances"
    script:
        "../scripts/table_task_distances.py"


rule table_dataset_distances:
    input:
        embeddings=EMBEDDINGS,
    output:
        table=f"{RESULTS}/tables/dataset_distances.parquet",
    log:
        f"{RESULTS}/logs/tables/dataset_distances.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/dataset_distances.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("dataset_distances"),
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.dataset_distances"),
    message:
        "table dataset_distances"
    script:
        "../scripts/table_dataset_distances.py"


rule table_neighbours:
    input:
        embeddings=EMBEDDINGS,
    output:
        table=f"{RESULTS}/tables/neighbours.parquet",
    log:
        f"{RESULTS}/logs/tables/neighbours.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/neighbours.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("neighbours"),
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.task_neighbours"),
    message:
        "table neighbours"
    script:
        "../scripts/table_neighbours.py"


rule table_trajectories:
    input:
        embeddings=DESCRIBED["main"],
        trajectories=DESCRIBED["trajectory"],
        pairs=RUN.pair_files(RUN.trajectory_cells, set="trajectory"),
        images=RUN.image_files(RUN.trajectory_cells),
    output:
        table=f"{RESULTS}/tables/trajectories.parquet",
    log:
        f"{RESULTS}/logs/tables/trajectories.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/trajectories.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("trajectories"),
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        asked_of=[e for e, made in RUN.encoders.items() if made.asks_steadiness],
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.trajectories.table"),
    message:
        "table trajectories"
    script:
        "../scripts/table_trajectories.py"


rule table_failures:
    input:
        embeddings=DESCRIBED["main"],
        failures=DESCRIBED["failure"],
    output:
        table=f"{RESULTS}/tables/failures.parquet",
    log:
        f"{RESULTS}/logs/tables/failures.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/failures.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("failures"),
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.failures.table"),
    message:
        "table failures"
    script:
        "../scripts/table_failures.py"


rule table_clusters:
    input:
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
        embeddings=EMBEDDINGS,
    output:
        table=f"{RESULTS}/tables/clusters.parquet",
    log:
        f"{RESULTS}/logs/tables/clusters.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/clusters.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("clusters"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.clusters.table"),
    message:
        "table clusters"
    script:
        "../scripts/table_clusters.py"


rule table_controls:
    input:
        predictions=PREDICTIONS,
        embeddings=EMBEDDINGS,
        comparisons=f"{RESULTS}/tables/comparisons.parquet",
    output:
        table=f"{RESULTS}/tables/controls.parquet",
    log:
        f"{RESULTS}/logs/tables/controls.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/controls.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("controls"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.controls"),
    message:
        "table controls"
    script:
        "../scripts/table_controls.py"


rule table_shortcuts:
    input:
        pairs=RUN.pair_files(RUN.cells),
        images=RUN.image_files(RUN.cells),
    output:
        table=f"{RESULTS}/tables/shortcuts.parquet",
    log:
        f"{RESULTS}/logs/tables/shortcuts.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/shortcuts.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.shortcuts.table"),
    message:
        "table shortcuts"
    script:
        "../scripts/table_shortcuts.py"


rule table_unseen_tasks:
    input:
        folds=[
            f"{RESULTS}/studies/{point}/embeddings.parquet"
            for point in RUN.points_of("unseen_tasks")
        ],
        baselines=[
            f"{RESULTS}/embeddings/{encoder}/seed{RUN.config.seeds[0]}.parquet"
            for encoder in RUN.named("baseline")
        ],
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
    output:
        table=f"{RESULTS}/tables/unseen_tasks.parquet",
    log:
        f"{RESULTS}/logs/tables/unseen_tasks.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/unseen_tasks.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("unseen_tasks"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.unseen_tasks"),
    message:
        "table unseen_tasks"
    script:
        "../scripts/table_unseen_tasks.py"


rule table_scaling:
    input:
        predictions=[
            f"{RESULTS}/studies/{point}/predictions.parquet"
            for point in RUN.points_of("scaling")
        ],
    output:
        table=f"{RESULTS}/tables/scaling.parquet",
    log:
        f"{RESULTS}/logs/tables/scaling.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/scaling.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.of_table("scaling"),
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.atlas.scaling"),
    message:
        "table scaling"
    script:
        "../scripts/table_scaling.py"


rule table_summary:
    input:
        # Findings on these are told where the run has them.
        **{
            name: f"{RESULTS}/tables/{name}.parquet"
            for name in (
                "shortcuts",
                "trajectories",
                "failures",
                "unseen_tasks",
                "scaling",
            )
            if name in TABLES
        },
        identification=f"{RESULTS}/tables/identification.parquet",
        comparisons=f"{RESULTS}/tables/comparisons.parquet",
        separation=f"{RESULTS}/tables/separation.parquet",
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
        clusters=f"{RESULTS}/tables/clusters.parquet",
        controls=f"{RESULTS}/tables/controls.parquet",
    output:
        table=f"{RESULTS}/tables/summary.parquet",
    log:
        f"{RESULTS}/logs/tables/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/summary.tsv"
    localrule: True
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=more_each_time(30),
    params:
        run=RUN.config.run,
        code=code_hash("medtaskatlas.atlas.summary"),
    message:
        "table summary"
    script:
        "../scripts/table_summary.py"
