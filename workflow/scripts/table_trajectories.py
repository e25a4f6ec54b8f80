from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.trajectories.table import trajectories

    trajectories(
        snakemake.input.embeddings,
        snakemake.input.trajectories,
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        asked_of=snakemake.params.asked_of,
        seed=snakemake.params.seed,
    )
