from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.contact_sheets import contact_sheets

    contact_sheets(
        snakemake.input.images,
        snakemake.output.svg,
        snakemake.output.png,
        heldout=snakemake.params.heldout_datasets,
    )
