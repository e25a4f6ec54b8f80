from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.controls import controls

    controls(
        snakemake.input.predictions,
        snakemake.input.embeddings,
        snakemake.input.comparisons,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        seed=snakemake.params.seed,
    )
