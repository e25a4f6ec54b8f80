from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.task_distances import task_distances

    task_distances(
        snakemake.input.task_distances,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
    )
