# Multi-task systems: results/<run>/multitask/<problem>/<system>/seed<k>/
MULTITASK = RUN.multitask
TRAINED = f"{RESULTS}/multitask/{{problem}}/{{system}}/seed{{seed}}"


rule multitask:
    input:
        [
            f"{RESULTS}/multitask/{problem}/{system}/seed{seed}/predictions.parquet"
            for problem, system, seed in RUN.multitask_runs
        ],
        PRODUCTS.files_when("multitask"),


# One representation a modality, for the strategies of UMS-Rep.
rule multitask_represent:
    input:
        files=lambda wildcards: [
            f"{RESULTS}/images/{name}.arrow"
            for name in MULTITASK.of_modality(wildcards.modality)
        ],
    output:
        weights=f"{RESULTS}/multitask/representations/{{modality}}/seed{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/multitask/representations/{{modality}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/multitask/representations/{{modality}}/seed{{seed}}.tsv"
    priority: 2
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.representation_mb(wildcards.modality), least=3000
        ),
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        job=lambda wildcards: MULTITASK.representation_params(wildcards.modality),
        seed=lambda wildcards: int(wildcards.seed),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        states=f"{RESULTS}/checkpoints/multitask/representations/{{modality}}/seed{{seed}}",
        code=code_hash("medtaskatlas.multitask.represent"),
    message:
        "representation of {wildcards.modality}, seed {wildcards.seed}"
    script:
        "../scripts/multitask_represent.py"


# What a system is tuned for is chosen once a problem, for all of its seeds.
rule multitask_tune:
    input:
        files=lambda wildcards: MULTITASK.files(wildcards.problem, RESULTS),
        representation=lambda wildcards: MULTITASK.representation(
            wildcards.problem, wildcards.system, RESULTS
        ),
    output:
        trials=f"{RESULTS}/multitask/{{problem}}/{{system}}/trials.json",
    log:
        f"{RESULTS}/logs/multitask/{{problem}}/{{system}}/tune.log",
    benchmark:
        f"{RESULTS}/benchmarks/multitask/{{problem}}/{{system}}/tune.tsv"
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.multitask_mb(wildcards.problem, wildcards.system),
            least=3000,
        ),
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        job=lambda wildcards: MULTITASK.params(wildcards.problem, wildcards.system),
        seed=MULTITASK.options.seeds[0] if MULTITASK else 0,
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        states=f"{RESULTS}/checkpoints/multitask/{{problem}}/{{system}}/trials",
        code=lambda wildcards: MULTITASK.code(
            wildcards.problem, wildcards.system, "tune"
        ),
    message:
        "tune {wildcards.system} on {wildcards.problem}"
    script:
        "../scripts/multitask_tune.py"


rule multitask_train:
    input:
        files=lambda wildcards: MULTITASK.files(wildcards.problem, RESULTS),
        representation=lambda wildcards: MULTITASK.representation(
            wildcards.problem, wildcards.system, RESULTS, wildcards.seed
        ),
        trials=rules.multitask_tune.output.trials,
    output:
        model=f"{TRAINED}/model.safetensors",
        config=f"{TRAINED}/config.json",
        history=f"{TRAINED}/history.parquet",
        predictions=f"{TRAINED}/predictions.parquet",
        cost=f"{TRAINED}/cost.json",
        examples=f"{TRAINED}/examples.arrow",
    log:
        f"{RESULTS}/logs/multitask/{{problem}}/{{system}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/multitask/{{problem}}/{{system}}/seed{{seed}}.tsv"
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: RUN.config.torch_threads
    resources:
        mem_mb=MEMORY.request(
            lambda wildcards: MEMORY.multitask_mb(wildcards.problem, wildcards.system),
            least=3000,
        ),
        runtime=RUN.config.train_minutes,
        gpu=1,
    params:
        run=RUN.config.run,
        job=lambda wildcards: MULTITASK.params(wildcards.problem, wildcards.system),
        seed=lambda wildcards: int(wildcards.seed),
        split_seed=RUN.config.seed,
        torch_threads=RUN.config.torch_threads,
        states=f"{RESULTS}/checkpoints/multitask/{{problem}}/{{system}}/seed{{seed}}",
        code=lambda wildcards: MULTITASK.code(
            wildcards.problem, wildcards.system, "train"
        ),
    message:
        "train {wildcards.system} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../scripts/multitask_train.py"
