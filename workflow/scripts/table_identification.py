from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.identification import identification

    identification(
        snakemake.input.predictions,
        snakemake.output.table,
        run=snakemake.params.run,
        format_identifiable=snakemake.params.format_identifiable,
        seed=snakemake.params.seed,
    )
