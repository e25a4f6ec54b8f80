# Medformer: results/<run>/medformer/<set>/<arm>/labels<percent>/seed<k>/, a set or all_sets, and
# pretrained/<name>/<scope>/seed<k>.safetensors
from medtaskatlas.run.medformer_pictures import Pictures

MEDFORMER = RUN.medformer
PICTURES = Pictures(MEDFORMER) if MEDFORMER else None
ARM = f"{RESULTS}/medformer/{{learned}}/{{arm}}/labels{{percent}}/seed{{seed}}"


rule medformer:
    input:
        [
            f"{RESULTS}/medformer/{run.folder}/predictions.parquet"
            for run in RUN.medformer_runs
        ],
        PRODUCTS.files_when("medformer"),
        PRODUCTS.files_when("medformer_pretexts"),


rule medformer_pretrain:
    input:
        files=lambda wildcards: MEDFORMER.files(
            MEDFORMER.pretraining_sets(wildcards.scope), RESULTS
        ),
    output:
        weights=f"{RESULTS}/medformer/pretrained/{{pretraining}}/{{scope}}/seed{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/medformer/pretrained/{{pretraining}}/{{scope}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/medformer/pretrained/{{pretraining}}/{{scope}}/seed{{seed}}.tsv"
    priority: 2
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.pretraining_mb(
                wildcards.pretraining, wildcards.scope
            )
        ),
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        options=lambda wildcards: MEDFORMER.pretraining_params(wildcards.pretraining),
        name=lambda wildcards: wildcards.pretraining,
        seed=lambda wildcards: int(wildcards.seed),
        torch_threads=RUN.config.torch_threads,
        states=f"{RESULTS}/checkpoints/medformer/pretrained/{{pretraining}}/{{scope}}/seed{{seed}}",
        code=lambda wildcards: MEDFORMER.pretraining_code(wildcards.pretraining),
    message:
        "pre-train {wildcards.pretraining} ({wildcards.scope}), seed {wildcards.seed}"
    script:
        "../scripts/medformer_pretrain.py"


rule medformer_train:
    input:
        files=lambda wildcards: MEDFORMER.files(
            MEDFORMER.sets_of(wildcards.learned), RESULTS
        ),
        start=lambda wildcards: MEDFORMER.start(MEDFORMER.run_of(wildcards), RESULTS),
    output:
        model=f"{ARM}/model.safetensors",
        config=f"{ARM}/config.json",
        history=f"{ARM}/history.parquet",
        predictions=f"{ARM}/predictions.parquet",
        cost=f"{ARM}/cost.json",
    log:
        f"{RESULTS}/logs/medformer/{{learned}}/{{arm}}/labels{{percent}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/medformer/{{learned}}/{{arm}}/labels{{percent}}/seed{{seed}}.tsv"
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.medformer_mb(MEDFORMER.run_of(wildcards))
        ),
        runtime=RUN.config.train_minutes,
        gpu=lambda wildcards: int(MEDFORMER.options.arms[wildcards.arm].uses_gpu),
    params:
        run=RUN.config.run,
        job=lambda wildcards: MEDFORMER.params(MEDFORMER.run_of(wildcards)),
        seed=lambda wildcards: int(wildcards.seed),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        states=f"{RESULTS}/checkpoints/medformer/{{learned}}/{{arm}}/labels{{percent}}/seed{{seed}}",
        code=lambda wildcards: MEDFORMER.code(),
    message:
        "train {wildcards.arm} on {wildcards.learned} with {wildcards.percent} % of the labels, seed {wildcards.seed}"
    script:
        "../scripts/medformer_train.py"


# What figures show of the weights of the first trainings.
rule medformer_pictures:
    input:
        files=lambda wildcards: PICTURES.files(RESULTS),
        pretraining=lambda wildcards: PICTURES.weights("pretraining", RESULTS),
        together=lambda wildcards: PICTURES.weights("together", RESULTS),
        alone=lambda wildcards: PICTURES.weights("alone", RESULTS),
    output:
        reconstructions=f"{RESULTS}/medformer/pictures/reconstructions.arrow",
        occlusions=f"{RESULTS}/medformer/pictures/occlusions.arrow",
        latents=f"{RESULTS}/medformer/pictures/latents.arrow",
    log:
        f"{RESULTS}/logs/medformer/pictures.log",
    benchmark:
        f"{RESULTS}/benchmarks/medformer/pictures.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(lambda wildcards: MEMORY.medformer_pictures_mb()),
        runtime=runtime_by_attempt(60),
    params:
        shown=lambda wildcards: PICTURES.params(),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        code=code_hash("medtaskatlas.medformer.pictures.write"),
    message:
        "reconstructions, occlusions and latents of Medformer"
    script:
        "../scripts/medformer_pictures.py"
