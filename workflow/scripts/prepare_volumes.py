from pathlib import Path

from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.datasets.catalogue import dataset_from_entry
    from medtaskatlas.datasets.prepare_volumes import prepare_volumes

    prepare_volumes(
        dataset_from_entry(snakemake.params.entry),
        Path(snakemake.params.folder),
        Path(snakemake.input.images),
        Path(snakemake.output[0]),
        volume_size=int(snakemake.params.volume_size),
        manifest=Path(snakemake.input.manifest),
    )
