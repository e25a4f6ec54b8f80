from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.figures.interactive.page import interactive_atlas

    interactive_atlas(
        snakemake.input.embeddings,
        snakemake.input.predictions,
        snakemake.input.pairs,
        snakemake.input.images,
        snakemake.input.task_distances,
        snakemake.output.html,
        run=snakemake.params.run,
        functional_distance_path=snakemake.input.get("functional_distance"),
        graded_distance_path=snakemake.input.get("graded_distance"),
        heldout_datasets=snakemake.params.heldout_datasets,
        seed=snakemake.params.seed,
    )
