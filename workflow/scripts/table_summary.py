from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.summary import NEEDED, summary

    summary(
        {name: snakemake.input[name] for name in NEEDED},
        snakemake.output.table,
        run=snakemake.params.run,
    )
