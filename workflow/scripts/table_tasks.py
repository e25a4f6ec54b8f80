from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.catalogue import tasks_table

    tasks_table(
        snakemake.params.tasks,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_tasks=snakemake.params.heldout_tasks,
        tasks_dir=snakemake.config.get("tasks_dir"),
    )
