from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.multitask.train import train_system
        from medtaskatlas.multitask.training import Job

        train_system(
            Job.of(
                snakemake.input.files,
                snakemake.params.job,
                seed=snakemake.params.seed,
                split_seed=snakemake.params.split_seed,
                representation=next(iter(snakemake.input.representation), None),
            ),
            snakemake.input.trials,
            snakemake.output.model,
            run=snakemake.params.run,
            states=snakemake.params.states,
            threads=snakemake.params.torch_threads,
        )
