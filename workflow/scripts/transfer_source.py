from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.transfer.options import SourceTraining
        from medtaskatlas.transfer.warm import train_source

        train_source(
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.output.weights,
            run=snakemake.params.run,
            task=snakemake.wildcards.source,
            options=SourceTraining.model_validate(snakemake.params.options),
            seed=snakemake.params.seed,
            checkpoint=snakemake.params.state,
            threads=snakemake.params.torch_threads,
        )
