from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.catalogue import task_grid

    task_grid(
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.table,
        run=snakemake.params.run,
        tasks=snakemake.params.tasks,
        tasks_dir=snakemake.config.get("tasks_dir"),
    )
