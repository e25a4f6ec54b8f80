from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.unseen_tasks import unseen_tasks

    unseen_tasks(
        snakemake.input.folds,
        snakemake.input.baselines,
        snakemake.input.task_distances,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
        seed=snakemake.params.seed,
    )
