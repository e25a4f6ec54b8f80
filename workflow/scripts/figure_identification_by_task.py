from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.identification_by_task import identification_by_task

    identification_by_task(
        snakemake.input.identification,
        snakemake.input.tasks,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
        baseline=snakemake.params.baseline,
    )
