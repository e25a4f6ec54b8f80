from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.transfer.options import STARTS
        from medtaskatlas.transfer.warm import start_from_sources

        start_from_sources(
            snakemake.input.sources,
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.output.errors,
            run=snakemake.params.run,
            options=STARTS[snakemake.wildcards.protocol].model_validate(snakemake.params.options),
            seed=snakemake.params.seed,
            split_seed=snakemake.params.split_seed,
            state=snakemake.params.state,
            threads=snakemake.params.torch_threads,
        )
