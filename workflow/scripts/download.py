from pathlib import Path

from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.datasets.catalogue import dataset_from_entry
    from medtaskatlas.datasets.download import fetch

    fetch(
        dataset_from_entry(snakemake.params.entry),
        Path(snakemake.output[0]).parent,
        image_size=int(snakemake.params.image_size),
        mirror=snakemake.config.get("mirror"),
    )
