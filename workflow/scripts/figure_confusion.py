from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.confusion import confusion

    confusion(
        snakemake.input.confusion,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
    )
