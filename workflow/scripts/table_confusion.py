from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.confusion import confusion

    confusion(
        snakemake.input.predictions,
        snakemake.output.table,
        run=snakemake.params.run,
        seed=snakemake.params.seed,
    )
