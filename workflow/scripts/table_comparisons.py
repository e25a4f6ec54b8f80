from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.comparisons.table import comparisons

    comparisons(
        snakemake.input.predictions,
        snakemake.output.table,
        run=snakemake.params.run,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        seed=snakemake.params.seed,
        embedding_paths=snakemake.input.embeddings,
        task_distances_path=snakemake.input.task_distances,
    )
