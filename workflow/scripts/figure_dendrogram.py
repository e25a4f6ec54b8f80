from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.dendrogram import dendrogram

    dendrogram(
        snakemake.input.clusters,
        snakemake.output.svg,
        snakemake.output.png,
        encoder=snakemake.params.encoder,
    )
