# Download and prepare: data/<source>/<dataset>/ and results/<run>/images/<dataset>.arrow


rule data:
    input:
        [RUN.manifest(dataset) for dataset in RUN.datasets],


rule images:
    input:
        expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),


rule download:
    output:
        manifest="data/{place}/MANIFEST.json",
    log:
        f"{RESULTS}/logs/download/{{place}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download/{{place}}.tsv"
    # Nodes of a cluster often have no network.
    localrule: True
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=500,
        runtime=600,
    params:
        # As the whole entry, so that a changed hash or licence fetches anew. Where from changes
        # nothing in what arrives, so the mirror is no param: it is in the run's configuration.
        entry=lambda wildcards: RUN.dataset_at[wildcards.place].model_dump(mode="json"),
        image_size=RUN.config.image_size,
        code=lambda wildcards: code_hash(
            "medtaskatlas.datasets.download",
            RUN.dataset_at[wildcards.place].__module__,
        ),
    message:
        "download {wildcards.place}"
    script:
        "../scripts/download.py"


rule prepare:
    input:
        manifest=lambda wildcards: RUN.manifest(wildcards.dataset),
    output:
        images=f"{RESULTS}/images/{{dataset}}.arrow",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare/{{dataset}}.tsv"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1500,
        runtime=runtime_by_attempt(60),
    params:
        entry=lambda wildcards: RUN.entry(wildcards.dataset),
        folder=lambda wildcards: RUN.raw_folder(wildcards.dataset),
        image_size=RUN.config.image_size,
        limit=RUN.config.images_per_dataset,
        splits=RUN.config.splits.model_dump(),
        seed=RUN.config.seed,
        code=lambda wildcards: code_hash(
            "medtaskatlas.datasets.prepare", RUN.datasets[wildcards.dataset].__module__
        ),
    message:
        "prepare {wildcards.dataset}"
    script:
        "../scripts/prepare.py"
