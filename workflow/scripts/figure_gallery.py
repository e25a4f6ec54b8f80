from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.gallery import gallery
    from medtaskatlas.tasks.bank import load_bank

    bank = load_bank(snakemake.config.get("tasks_dir"))
    gallery(
        [bank[name] for name in snakemake.params.tasks],
        snakemake.input.images,
        snakemake.output.svg,
        snakemake.output.png,
        seed=int(snakemake.params.seed),
    )
