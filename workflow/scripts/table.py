from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.atlas.registry import TABLES
    from medtaskatlas.snakemake_ext.jobs import make

    make(TABLES[snakemake.rule.removeprefix("table_")], snakemake)
