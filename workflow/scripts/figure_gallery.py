from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.figures.gallery import gallery

    gallery(
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.output.svg,
        snakemake.output.png,
    )
