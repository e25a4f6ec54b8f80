from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.atlas_map import atlas_map

    atlas_map(
        snakemake.input.embeddings,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        seed=int(snakemake.params.seed),
    )
