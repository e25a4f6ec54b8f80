from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.failures import failures

    failures(
        snakemake.input.failures,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
    )
