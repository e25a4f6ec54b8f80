from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.failures.table import failures

    failures(
        snakemake.input.embeddings,
        snakemake.input.failures,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        seed=snakemake.params.seed,
    )
