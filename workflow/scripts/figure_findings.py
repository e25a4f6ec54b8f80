from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.findings import findings

    findings(dict(snakemake.input.items()), snakemake.output.html)
