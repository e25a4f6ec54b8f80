from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.metrics import metrics

    metrics(
        snakemake.input.summary,
        snakemake.output.metrics,
        snakemake.output.plots,
        run=snakemake.params.run,
    )
