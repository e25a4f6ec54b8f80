from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    import json

    from medtaskatlas.core.files import atomic_write

    # In the order of the configuration: the order of encoders is that of tables and figures.
    text = json.dumps(snakemake.params.config, indent=1, ensure_ascii=False)
    with atomic_write(snakemake.output.config) as part:
        part.write_text(text + "\n")
