from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.comparisons import comparisons

    comparisons(
        snakemake.input.predictions,
        snakemake.output.table,
        run=snakemake.params.run,
        seed=snakemake.params.seed,
    )
