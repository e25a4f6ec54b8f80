from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.task_grid import task_grid

    task_grid(
        snakemake.input.task_grid,
        snakemake.input.datasets,
        snakemake.output.svg,
        snakemake.output.png,
    )
