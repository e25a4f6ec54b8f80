from pathlib import Path

from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.datasets.catalogue import dataset_from_entry
    from medtaskatlas.datasets.prepare import prepare

    prepare(
        dataset_from_entry(snakemake.params.entry),
        Path(snakemake.params.folder),
        Path(snakemake.output[0]),
        manifest=Path(snakemake.input.manifest),
        limit=snakemake.params.limit,
        keep_duplicates=snakemake.params.keep_duplicates,
        image_size=int(snakemake.params.image_size),
        splits=snakemake.params.splits,
        seed=int(snakemake.params.seed),
        like=Path(like[0]) if (like := snakemake.input.like) else None,
    )
