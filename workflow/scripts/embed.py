from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.provenance.stamp import manifests
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.encoders.embed import embed

        embed(
            snakemake.input.pairs,
            snakemake.input.images,
            snakemake.output.embeddings,
            encoder=snakemake.params.encoder,
            model=next(iter(snakemake.input.model), None),
            heldout_datasets=snakemake.params.heldout_datasets,
            heldout_tasks=snakemake.params.heldout_tasks,
            pairs_per_cell=snakemake.params.pairs_per_cell,
            mismatched=snakemake.params.mismatched,
            threads=snakemake.params.torch_threads,
            meta={**snakemake.params.meta, "manifests": manifests(snakemake.input.images)},
        )
