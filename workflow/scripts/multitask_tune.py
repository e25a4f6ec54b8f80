from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.multitask.training import Job
        from medtaskatlas.multitask.tune import tune

        tune(
            Job.of(
                snakemake.input.files,
                snakemake.params.job,
                seed=snakemake.params.seed,
                split_seed=snakemake.params.split_seed,
                representation=next(iter(snakemake.input.representation), None),
            ),
            snakemake.output.trials,
            states=snakemake.params.states,
            threads=snakemake.params.torch_threads,
        )
