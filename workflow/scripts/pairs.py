from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.pairs.batch import make_batch
    from medtaskatlas.pairs.sets import Amounts, make_sets, without_pandas
    from medtaskatlas.tasks.bank import load_bank

    without_pandas()
    bank = load_bank(snakemake.config.get("tasks_dir"))
    if hasattr(snakemake.params, "cells"):
        make_batch(
            snakemake.input.images,
            snakemake.output,
            bank=bank,
            cells=snakemake.params.cells,
            logs=snakemake.params.logs,
        )
    else:
        make_sets(
            snakemake.input.images,
            bank[snakemake.wildcards.task],
            dict(snakemake.output.items()),
            amounts=Amounts(**snakemake.params.amounts),
            splits=snakemake.params.splits,
            heldout=snakemake.params.heldout,
            seed=snakemake.params.seed,
        )
