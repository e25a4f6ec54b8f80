from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.transfer.graded import cross_errors

        cross_errors(
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.input.model,
            snakemake.output.errors,
            encoder=snakemake.params.encoder,
            targets=snakemake.params.targets,
            split_seed=snakemake.params.split_seed,
            threads=snakemake.params.torch_threads,
            meta=snakemake.params.meta,
            **snakemake.params.options,
        )
