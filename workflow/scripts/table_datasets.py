from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.catalogue import datasets_table

    datasets_table(
        snakemake.input.images,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
    )
