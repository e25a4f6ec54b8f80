from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.scaling import scaling

    scaling(
        snakemake.input.scaling,
        snakemake.output.svg,
        snakemake.output.png,
    )
