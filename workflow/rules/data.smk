# Download and prepare: data/<source>/<dataset>/, and images/<dataset>.arrow and
# volumes/<dataset>.arrow in results/<run>/


rule data:
    input:
        expand("data/{place}/MANIFEST.json", place=RUN.raw_data),


rule images:
    input:
        expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),


rule volumes:
    input:
        lambda wildcards: RUN.volume_files(),


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
        entry=lambda wildcards: RUN.raw_data[wildcards.place][0].model_dump(mode="json"),
        image_size=lambda wildcards: RUN.raw_data[wildcards.place][1],
        code=lambda wildcards: code_hash(
            "medtaskatlas.datasets.download",
            RUN.raw_data[wildcards.place][0].__module__,
        ),
    message:
        "download {wildcards.place}"
    script:
        "../scripts/download.py"


rule prepare:
    input:
        manifest=lambda wildcards: RUN.manifest(wildcards.dataset),
        like=lambda wildcards: RUN.like(wildcards.dataset),
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
        image_size=lambda wildcards: RUN.config.image_size_of(wildcards.dataset),
        limit=RUN.config.images_per_dataset,
        keep_duplicates=RUN.config.keep_duplicates,
        splits=RUN.config.splits.model_dump(),
        seed=RUN.config.seed,
        code=lambda wildcards: code_hash(
            "medtaskatlas.datasets.prepare", RUN.datasets[wildcards.dataset].__module__
        ),
    message:
        "prepare {wildcards.dataset}"
    script:
        "../scripts/prepare.py"


rule prepare_volumes:
    input:
        manifest=lambda wildcards: RUN.manifest(
            wildcards.dataset, RUN.config.volume_size_of(wildcards.dataset)
        ),
        images=f"{RESULTS}/images/{{dataset}}.arrow",
    output:
        volumes=f"{RESULTS}/volumes/{{dataset}}.arrow",
    log:
        f"{RESULTS}/logs/prepare_volumes/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare_volumes/{{dataset}}.tsv"
    wildcard_constraints:
        dataset="|".join(RUN.volume_datasets) or "none",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=2000,
        runtime=runtime_by_attempt(60),
    params:
        entry=lambda wildcards: RUN.entry(wildcards.dataset),
        folder=lambda wildcards: RUN.raw_folder(
            wildcards.dataset, RUN.config.volume_size_of(wildcards.dataset)
        ),
        volume_size=lambda wildcards: RUN.config.volume_size_of(wildcards.dataset),
        code=lambda wildcards: code_hash(
            "medtaskatlas.datasets.prepare_volumes",
            RUN.datasets[wildcards.dataset].__module__,
        ),
    message:
        "prepare volumes of {wildcards.dataset}"
    script:
        "../scripts/prepare_volumes.py"
