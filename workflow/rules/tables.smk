# Atlas: results/<run>/predictions/<encoder>/seed<k>.parquet and tables/<table>.parquet


rule tables:
    input:
        [PRODUCTS.table(table.name) for table in PRODUCTS.tables],


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
    resources:
        mem_mb=MEMORY.request(lambda wildcards: MEMORY.predict_mb(wildcards.encoder)),
        runtime=runtime_by_attempt(60),
    params:
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
        runtime=runtime_by_attempt(60),
    params:
        seed=RUN.config.seed,
        probes=False,
        code=code_hash("medtaskatlas.atlas.predict"),
    message:
        "name the tasks of held-out pairs with {wildcards.point}"


for table in PRODUCTS.known_tables:

    rule:
        name:
            f"table_{table.name}"
        input:
            **PRODUCTS.inputs(table),
        output:
            out=PRODUCTS.table(table.name),
        log:
            f"{RESULTS}/logs/tables/{table.name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tables/{table.name}.tsv"
        localrule: table.local
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=MEMORY.of_table(table),
            runtime=runtime_by_attempt(table.minutes),
        params:
            **PRODUCTS.params(table),
            code=code_hash(*table.modules),
        message:
            f"table {table.name}"
        script:
            "../scripts/table.py"
