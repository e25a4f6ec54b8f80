from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.variance_shares import variance_shares

    variance_shares(
        snakemake.input.separation,
        snakemake.output.svg,
        snakemake.output.png,
    )
