# Transfer between tasks: results/<run>/transfer/


rule transfer:
    input:
        PRODUCTS.files_when("transfer"),


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
        options=RUN.config.transfer.model_dump() if RUN.config.transfer else {},
        code=code_hash("medtaskatlas.transfer.describe"),
    message:
        "functions of tasks on {wildcards.dataset}"
    script:
        "../scripts/transfer_kernel.py"
