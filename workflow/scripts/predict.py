from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.predict import predict

    predict(
        snakemake.input.embeddings,
        snakemake.output.predictions,
        heldout_datasets=snakemake.params.heldout_datasets,
        heldout_tasks=snakemake.params.heldout_tasks,
        seed=snakemake.params.seed,
        probes=snakemake.params.probes,
    )
