from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.multitask.represent import represent
        from medtaskatlas.multitask.training import Job

        represent(
            Job.of(
                snakemake.input.files,
                snakemake.params.job,
                seed=snakemake.params.seed,
                split_seed=snakemake.params.split_seed,
            ),
            snakemake.output.weights,
            states=snakemake.params.states,
            threads=snakemake.params.torch_threads,
        )
