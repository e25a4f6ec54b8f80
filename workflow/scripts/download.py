from pathlib import Path

from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.datasets.catalogue import load_catalogue
    from medtaskatlas.datasets.download import fetch

    fetch(load_catalogue()[snakemake.wildcards.dataset], Path(snakemake.output[0]).parent)
