from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.clusters import clusters

    clusters(
        snakemake.input.task_distances,
        snakemake.output.table,
        run=snakemake.params.run,
        seed=snakemake.params.seed,
    )
