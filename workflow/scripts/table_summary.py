from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.summary import NEEDED, OPTIONAL, summary

    summary(
        {n: path for n, path in snakemake.input.items() if n in (*NEEDED, *OPTIONAL)},
        snakemake.output.table,
        run=snakemake.params.run,
    )
