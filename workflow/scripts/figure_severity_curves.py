from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.severity_curves import severity_curves

    severity_curves(
        snakemake.input.trajectories,
        snakemake.output.svg,
        snakemake.output.png,
    )
