from medtaskatlas.jobs import job

with job(snakemake):
    from medtaskatlas.pairs import make_pairs
    from medtaskatlas.tasks.bank import load_bank

    make_pairs(
        snakemake.input.images,
        load_bank(snakemake.params.tasks_dir)[snakemake.wildcards.task],
        snakemake.output.main,
        pairs_per_cell=snakemake.params.pairs_per_cell,
        splits=snakemake.params.splits,
        seed=snakemake.params.seed,
    )
