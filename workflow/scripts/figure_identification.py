from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.identification import identification

    identification(snakemake.input.identification, snakemake.output.svg, snakemake.output.png)
