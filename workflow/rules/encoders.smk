# Encoders and embeddings: results/<run>/encoders/<encoder>/seed<k>/ and embeddings/<encoder>/seed<k>.parquet


rule encoders:
    input:
        [RUN.model_file(encoder, seed) for encoder, seed in RUN.trained_runs],


rule embeddings:
    input:
        [
            f"{RESULTS}/embeddings/{encoder}/seed{seed}.parquet"
            for encoder, seed in RUN.encoder_runs
        ],


rule train:
    input:
        pairs=RUN.pair_files(RUN.training_cells),
        images=RUN.image_files(RUN.training_cells),
    output:
        model=f"{RESULTS}/encoders/{{encoder}}/seed{{seed}}/model.safetensors",
        config=f"{RESULTS}/encoders/{{encoder}}/seed{{seed}}/config.json",
        history=f"{RESULTS}/encoders/{{encoder}}/seed{{seed}}/history.parquet",
    log:
        f"{RESULTS}/logs/train/{{encoder}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{encoder}}/seed{{seed}}.tsv"
    # The longest jobs: what else is ready can run beside them.
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=720,
    params:
        encoder=lambda wildcards: RUN.config.encoders[wildcards.encoder].model_dump(),
        # Not `threads`: Snakemake lowers those to --cores, and results must not depend on that.
        torch_threads=RUN.config.torch_threads,
        # Not an output: Snakemake deletes what a failed job has written.
        checkpoint=f"{RESULTS}/checkpoints/{{encoder}}/seed{{seed}}.safetensors",
        code=code_hash("medtaskatlas.encoders.train"),
    message:
        "train {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"


rule embed:
    input:
        pairs=RUN.pair_files(RUN.cells),
        images=RUN.image_files(RUN.cells),
        model=lambda wildcards: (
            [RUN.model_file(wildcards.encoder, wildcards.seed)]
            if RUN.has_weights(wildcards.encoder)
            else []
        ),
    output:
        embeddings=f"{RESULTS}/embeddings/{{encoder}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/embed/{{encoder}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{encoder}}/seed{{seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    # The fixed features are one thread of numpy.
    threads:
        lambda wildcards: (
            RUN.config.torch_threads if RUN.has_weights(wildcards.encoder) else 1
        )
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        encoder=lambda wildcards: RUN.config.encoders[wildcards.encoder].model_dump(),
        torch_threads=RUN.config.torch_threads,
        run=RUN.config.run,
        trained_on=[
            sorted({task for task, _ in RUN.training_cells}),
            sorted({dataset for _, dataset in RUN.training_cells}),
        ],
        code=code_hash("medtaskatlas.encoders.embed"),
    message:
        "embed with {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/embed.py"
