from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.files import write_json

    write_json(snakemake.output.config, snakemake.params.config)
