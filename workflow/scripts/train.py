from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.encoders.train import train

    train(
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.model,
        encoder=snakemake.params.encoder,
        seed=int(snakemake.wildcards.seed),
        checkpoint=snakemake.params.checkpoint,
        threads=snakemake.params.torch_threads,
        title=f"{snakemake.wildcards.encoder} seed {snakemake.wildcards.seed}",
    )
