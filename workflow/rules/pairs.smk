# Pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow, one job a task and dataset


rule pairs:
    input:
        RUN.pair_files(RUN.cells),


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
        runtime=30,
    params:
        pairs_per_cell=RUN.config.pairs_per_cell,
        splits=RUN.config.splits.model_dump(),
        seed=RUN.config.seed,
        tasks_dir=RUN.config.tasks_dir and str(RUN.config.tasks_dir),
        code=lambda wildcards: RUN.task_code(wildcards.task),
    message:
        "pairs of {wildcards.task} on {wildcards.dataset}"
    script:
        "../scripts/pairs.py"
