from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.trajectories import trajectories

    trajectories(
        snakemake.input.main,
        snakemake.input.trajectory,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
    )
