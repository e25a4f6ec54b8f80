from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.registry import FIGURES
    from medtaskatlas.snakemake_ext.jobs import make

    make(FIGURES[snakemake.rule.removeprefix("figure_")], snakemake)
