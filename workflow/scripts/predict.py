from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.predict import predict

    predict(
        snakemake.input.embeddings,
        snakemake.output.predictions,
        seed=snakemake.params.seed,
        probes=snakemake.params.probes,
    )
