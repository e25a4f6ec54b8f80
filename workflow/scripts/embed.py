from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.encoders.embed import embed

    embed(
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.embeddings,
        encoder=snakemake.params.encoder,
        model=next(iter(snakemake.input.model), None),
        threads=snakemake.params.torch_threads,
        meta={
            "run": snakemake.params.run,
            "encoder": snakemake.wildcards.encoder,
            "seed": int(snakemake.wildcards.seed),
            "trained_tasks": snakemake.params.trained_on[0],
            "trained_datasets": snakemake.params.trained_on[1],
        },
    )
