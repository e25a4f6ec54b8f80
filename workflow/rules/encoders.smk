# Encoders and embeddings: results/<run>/encoders/<encoder>/seed<k>/ and embeddings/<encoder>/seed<k>.parquet
# Studies: the same for trainings of their own, results/<run>/studies/<study>/<point>/
from medtaskatlas.snakemake_ext.gpus import gpus_to_train


rule encoders:
    input:
        [RUN.model_file(encoder, seed) for encoder, seed in RUN.trained_runs],


rule embeddings:
    input:
        [
            f"{RESULTS}/embeddings/{encoder}/seed{seed}.parquet"
            for encoder, seed in RUN.encoder_runs
        ],
        [
            f"{RESULTS}/embeddings/{encoder}/seed{seed}.{set}.parquet"
            for encoder, seed in RUN.compared_runs
            for set in RUN.extra_sets
        ],


rule train:
    input:
        pairs=RUN.pair_files(RUN.training_cells),
        images=RUN.image_files(RUN.training_cells),
        failures=lambda wildcards: RUN.failure_files(
            RUN.encoders[wildcards.encoder].options(), RUN.training_cells
        ),
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
        runtime=RUN.config.train_minutes,
        gpu=lambda wildcards: gpus_to_train(RUN.encoders[wildcards.encoder].options()),
    params:
        encoder=lambda wildcards: RUN.encoders[wildcards.encoder].options(),
        # Not `threads`: Snakemake lowers those to --cores, and results must not depend on that.
        torch_threads=RUN.config.torch_threads,
        seed=lambda wildcards: int(wildcards.seed),
        pairs_per_cell=None,
        title=lambda wildcards: f"{wildcards.encoder} seed {wildcards.seed}",
        # Not an output: Snakemake deletes what a failed job has written.
        checkpoint=f"{RESULTS}/checkpoints/{{encoder}}/seed{{seed}}.safetensors",
        code=lambda wildcards: RUN.encoder_code(
            wildcards.encoder, "medtaskatlas.encoders.train"
        ),
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
        sources=lambda wildcards: RUN.encoders[wildcards.encoder].sources(),
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
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.embed_mb(
                wildcards.encoder, wildcards.get("set", "main")
            ),
            least=3000,
        ),
        runtime=runtime_by_attempt(240),
        gpu=lambda wildcards: int(RUN.encoders[wildcards.encoder].is_network),
    params:
        encoder=lambda wildcards: RUN.encoders[wildcards.encoder].options(),
        # Features are made without torch, so its threads are none of theirs.
        torch_threads=lambda wildcards: (
            RUN.config.torch_threads
            if RUN.encoders[wildcards.encoder].is_network
            else 1
        ),
        heldout_datasets=RUN.heldout,
        # Those of the main pairs: in the other sets held-out tasks are asked like any.
        heldout_tasks=lambda wildcards: (
            [] if wildcards.get("set") else RUN.config.heldout.tasks
        ),
        pairs_per_cell=None,
        # A control, of the main pairs.
        mismatched=lambda wildcards: not wildcards.get("set"),
        meta=lambda wildcards: {
            "run": RUN.config.run,
            "encoder": wildcards.encoder,
            "seed": int(wildcards.seed),
            **RUN.trained_on(
                RUN.training_cells if RUN.encoders[wildcards.encoder].learns else []
            ),
        },
        code=lambda wildcards: RUN.encoder_code(
            wildcards.encoder, "medtaskatlas.encoders.embed"
        ),
    message:
        "embed with {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/embed.py"


use rule embed as embed_set with:
    input:
        pairs=lambda wildcards: RUN.pair_files(
            RUN.cells_of(wildcards.set), set=wildcards.set
        ),
        images=lambda wildcards: RUN.image_files(RUN.cells_of(wildcards.set)),
        model=rules.embed.input.model,
        sources=rules.embed.input.sources,
    output:
        embeddings=f"{RESULTS}/embeddings/{{encoder}}/seed{{seed}}.{{set}}.parquet",
    log:
        f"{RESULTS}/logs/embed/{{encoder}}/seed{{seed}}.{{set}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{encoder}}/seed{{seed}}.{{set}}.tsv"
    message:
        "embed the {wildcards.set} pairs with {wildcards.encoder}, seed {wildcards.seed}"


use rule train as train_point with:
    input:
        pairs=lambda wildcards: RUN.pair_files(
            RUN.points[wildcards.point].training_cells
        ),
        images=lambda wildcards: RUN.image_files(
            RUN.points[wildcards.point].training_cells
        ),
        failures=lambda wildcards: RUN.failure_files(
            RUN.points[wildcards.point].options,
            RUN.points[wildcards.point].training_cells,
        ),
    output:
        model=f"{RESULTS}/studies/{{point}}/model.safetensors",
        config=f"{RESULTS}/studies/{{point}}/config.json",
        history=f"{RESULTS}/studies/{{point}}/history.parquet",
    log:
        f"{RESULTS}/logs/train/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{point}}.tsv"
    resources:
        mem_mb=3000,
        runtime=RUN.config.train_minutes,
        gpu=lambda wildcards: gpus_to_train(RUN.points[wildcards.point].options),
    params:
        encoder=lambda wildcards: RUN.points[wildcards.point].options,
        torch_threads=RUN.config.torch_threads,
        seed=lambda wildcards: RUN.points[wildcards.point].seed,
        pairs_per_cell=lambda wildcards: RUN.points[wildcards.point].pairs_per_cell,
        title=lambda wildcards: wildcards.point,
        checkpoint=f"{RESULTS}/checkpoints/{{point}}.safetensors",
        code=lambda wildcards: RUN.encoder_code(
            RUN.points[wildcards.point].encoder, "medtaskatlas.encoders.train"
        ),
    message:
        "train {wildcards.point}"


use rule embed as embed_point with:
    input:
        pairs=lambda wildcards: RUN.pair_files(
            RUN.points[wildcards.point].embedded_cells
        ),
        images=lambda wildcards: RUN.image_files(
            RUN.points[wildcards.point].embedded_cells
        ),
        model=[f"{RESULTS}/studies/{{point}}/model.safetensors"],
    output:
        embeddings=f"{RESULTS}/studies/{{point}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/embed/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{point}}.tsv"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=runtime_by_attempt(240),
        gpu=1,
    params:
        encoder=lambda wildcards: RUN.points[wildcards.point].options,
        torch_threads=RUN.config.torch_threads,
        heldout_datasets=RUN.heldout,
        heldout_tasks=lambda wildcards: RUN.points[wildcards.point].unseen_tasks,
        pairs_per_cell=lambda wildcards: RUN.points[wildcards.point].pairs_per_cell,
        mismatched=False,
        meta=lambda wildcards: {
            "run": RUN.config.run,
            "encoder": RUN.points[wildcards.point].encoder,
            "seed": RUN.points[wildcards.point].seed,
            "point": wildcards.point,
            "pairs_per_cell": RUN.points[wildcards.point].pairs_per_cell,
            "steps": RUN.points[wildcards.point].options["steps"],
            **RUN.trained_on(RUN.points[wildcards.point].training_cells),
        },
        code=lambda wildcards: RUN.encoder_code(
            RUN.points[wildcards.point].encoder, "medtaskatlas.encoders.embed"
        ),
    message:
        "embed with {wildcards.point}"
