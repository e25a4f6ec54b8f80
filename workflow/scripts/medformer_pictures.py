from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.medformer.pictures.write import write_pictures

    write_pictures(
        snakemake.input.files,
        {name: snakemake.input[name] for name in ("pretraining", "together", "alone")},
        dict(snakemake.output.items()),
        shown=snakemake.params.shown,
        split_seed=snakemake.params.split_seed,
        threads=snakemake.params.torch_threads,
    )
