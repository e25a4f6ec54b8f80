from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.shortcuts import shortcuts

    shortcuts(snakemake.input.shortcuts, snakemake.output.svg, snakemake.output.png)
