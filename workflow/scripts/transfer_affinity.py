from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.transfer.affinity import train_together
        from medtaskatlas.transfer.options import Affinity

        train_together(
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.output.errors,
            run=snakemake.params.run,
            options=Affinity.model_validate(snakemake.params.options),
            seed=snakemake.params.seed,
            split_seed=snakemake.params.split_seed,
            state=snakemake.params.state,
            threads=snakemake.params.torch_threads,
        )
