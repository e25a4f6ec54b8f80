from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.unseen_tasks import unseen_tasks

    unseen_tasks(
        snakemake.input.unseen_tasks,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
    )
