from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.encoders.train import train

        train(
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.output.model,
            failure_paths=snakemake.input.failures,
            encoder=snakemake.params.encoder,
            seed=snakemake.params.seed,
            pairs_per_cell=snakemake.params.pairs_per_cell,
            checkpoint=snakemake.params.checkpoint,
            threads=snakemake.params.torch_threads,
            title=snakemake.params.title,
        )
