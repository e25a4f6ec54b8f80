from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.transfer.describe import describe

    describe(
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.kernel,
        run=snakemake.params.run,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        **snakemake.params.options,
    )
