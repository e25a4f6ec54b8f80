from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    import json

    from medtaskatlas.core.files import whole_file

    # In the order of the configuration: the order of encoders is that of tables and figures.
    text = json.dumps(snakemake.params.config, indent=1, ensure_ascii=False)
    with whole_file(snakemake.output.config) as part:
        part.write_text(text + "\n")
