from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.summary import NEEDED, OPTIONAL, summary

    summary(
        {name: snakemake.input[name] for name in (*NEEDED, *OPTIONAL)},
        snakemake.output.table,
        run=snakemake.params.run,
    )
