# Transfer between tasks: results/<run>/transfer/


rule transfer:
    input:
        PRODUCTS.files_when("transfer"),
        PRODUCTS.files_when("transfer_starts"),
        PRODUCTS.files_when("transfer_affinity"),
        PRODUCTS.files_when("transfer_measured"),
        PRODUCTS.files_when("transfer_graded"),


# What every task does to the images of one dataset, as linear maps of fixed features.
rule transfer_kernel:
    input:
        pairs=lambda wildcards: RUN.pair_files(RUN.cells_on(wildcards.dataset)),
        images=f"{RESULTS}/images/{{dataset}}.arrow",
    output:
        kernel=f"{RESULTS}/transfer/kernel/{{dataset}}.safetensors",
    log:
        f"{RESULTS}/logs/transfer/kernel/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/kernel/{{dataset}}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=2000,
        runtime=runtime_by_attempt(60),
    params:
        run=RUN.config.run,
        seed=RUN.config.seed,
        options=RUN.config.transfer.kernel() if RUN.config.transfer else {},
        code=code_hash("medtaskatlas.transfer.describe"),
    message:
        "functions of tasks on {wildcards.dataset}"
    script:
        "../scripts/transfer_kernel.py"


rule transfer_source:
    input:
        pairs=lambda wildcards: RUN.pair_files(
            RUN.transfer_cells(wildcards.sources, wildcards.source)
        ),
        images=lambda wildcards: RUN.image_files(
            RUN.transfer_cells(wildcards.sources, wildcards.source)
        ),
    output:
        weights=f"{RESULTS}/transfer/{{sources}}/{{source}}/seed{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/transfer/{{sources}}/{{source}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/{{sources}}/{{source}}/seed{{seed}}.tsv"
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        run=RUN.config.run,
        options=lambda wildcards: RUN.transfer.source_params(wildcards.sources),
        seed=lambda wildcards: int(wildcards.seed),
        torch_threads=RUN.config.torch_threads,
        state=f"{RESULTS}/checkpoints/transfer/{{sources}}/{{source}}/seed{{seed}}.safetensors",
        code=code_hash("medtaskatlas.transfer.warm"),
    message:
        "train the source {wildcards.source}, seed {wildcards.seed}"
    script:
        "../scripts/transfer_source.py"


rule transfer_starts:
    input:
        sources=lambda wildcards: [
            f"{RESULTS}/transfer/{RUN.transfer.folder(wildcards.protocol)}/{source}/seed{wildcards.seed}.safetensors"
            for source in RUN.transfer.sources_of(wildcards.protocol)
        ],
        pairs=lambda wildcards: RUN.pair_files(
            RUN.target_cells(wildcards.protocol, wildcards.target)
        ),
        images=lambda wildcards: RUN.image_files(
            RUN.target_cells(wildcards.protocol, wildcards.target)
        ),
    output:
        errors=f"{RESULTS}/transfer/{{protocol}}/{{target}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/transfer/{{protocol}}/{{target}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/{{protocol}}/{{target}}/seed{{seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        run=RUN.config.run,
        options=lambda wildcards: RUN.transfer.starts[wildcards.protocol].params(),
        seed=lambda wildcards: int(wildcards.seed),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        state=f"{RESULTS}/checkpoints/transfer/{{protocol}}/{{target}}/seed{{seed}}.safetensors",
        code=code_hash("medtaskatlas.transfer.warm"),
    message:
        "start {wildcards.target} from every task ({wildcards.protocol}), seed {wildcards.seed}"
    script:
        "../scripts/transfer_starts.py"


# All tasks of a dataset, each alone and any two together: one job, which goes on where it was cut.
rule transfer_affinity:
    input:
        pairs=lambda wildcards: RUN.pair_files(RUN.affinity_cells(wildcards.dataset)),
        images=f"{RESULTS}/images/{{dataset}}.arrow",
    output:
        errors=f"{RESULTS}/transfer/affinity/{{dataset}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/transfer/affinity/{{dataset}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/affinity/{{dataset}}/seed{{seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        run=RUN.config.run,
        options=RUN.transfer.affinity_params() if RUN.transfer else {},
        seed=lambda wildcards: int(wildcards.seed),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        state=f"{RESULTS}/checkpoints/transfer/affinity/{{dataset}}/seed{{seed}}.safetensors",
        code=code_hash("medtaskatlas.transfer.affinity"),
    message:
        "train tasks of {wildcards.dataset} together, seed {wildcards.seed}"
    script:
        "../scripts/transfer_affinity.py"


# How well the mean code of every task does every other.
rule transfer_graded:
    input:
        pairs=RUN.pair_files(RUN.cells),
        images=RUN.image_files(RUN.cells),
        model=f"{RESULTS}/encoders/{{encoder}}/seed{{seed}}/model.safetensors",
    output:
        errors=f"{RESULTS}/transfer/graded/{{encoder}}/seed{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/transfer/graded/{{encoder}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/graded/{{encoder}}/seed{{seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=3000,
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        encoder=lambda wildcards: RUN.encoders[wildcards.encoder].options(),
        targets=None,
        options=RUN.config.transfer.kernel() if RUN.config.transfer else {},
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        meta=lambda wildcards: {
            "run": RUN.config.run,
            "encoder": wildcards.encoder,
            "seed": int(wildcards.seed),
            **RUN.trained_on(RUN.training_cells),
        },
        code=lambda wildcards: RUN.encoder_code(
            wildcards.encoder, "medtaskatlas.transfer.graded"
        ),
    message:
        "codes of {wildcards.encoder}, seed {wildcards.seed}, on other tasks"
    script:
        "../scripts/transfer_graded.py"


use rule transfer_graded as transfer_graded_point with:
    input:
        pairs=rules.transfer_graded.input.pairs,
        images=rules.transfer_graded.input.images,
        model=f"{RESULTS}/studies/{{point}}/model.safetensors",
    output:
        errors=f"{RESULTS}/studies/{{point}}/graded.safetensors",
    log:
        f"{RESULTS}/logs/transfer/graded/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/graded/{{point}}.tsv"
    params:
        encoder=lambda wildcards: RUN.points[wildcards.point].options,
        # The others are done by the run's own encoders, which are trained on more.
        targets=lambda wildcards: RUN.points[wildcards.point].unseen_tasks,
        options=RUN.config.transfer.kernel() if RUN.config.transfer else {},
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        meta=lambda wildcards: {
            "run": RUN.config.run,
            "encoder": RUN.points[wildcards.point].encoder,
            "seed": RUN.points[wildcards.point].seed,
            **RUN.trained_on(RUN.points[wildcards.point].training_cells),
        },
        code=lambda wildcards: RUN.encoder_code(
            RUN.points[wildcards.point].encoder, "medtaskatlas.transfer.graded"
        ),
    message:
        "codes of {wildcards.point} on other tasks"
