from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.medformer.train import Job, train_arm

        train_arm(
            snakemake.input.files,
            snakemake.output.model,
            job=Job.of(
                snakemake.params.job,
                seed=snakemake.params.seed,
                split_seed=snakemake.params.split_seed,
            ),
            run=snakemake.params.run,
            start=next(iter(snakemake.input.start), None),
            states=snakemake.params.states,
            threads=snakemake.params.torch_threads,
        )
