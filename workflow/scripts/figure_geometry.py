from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.geometry import geometry

    geometry(
        snakemake.input.comparisons,
        snakemake.output.svg,
        snakemake.output.png,
    )
