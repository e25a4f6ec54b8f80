from medtaskatlas.snakemake_ext.jobs import job

with job(snakemake):
    from medtaskatlas.snakemake_ext.gpus import reserve_gpus

    with reserve_gpus(snakemake.resources.get("gpu", 0)):
        from medtaskatlas.medformer.options import Medformer
        from medtaskatlas.medformer.pretraining import pretrain

        pretrain(
            snakemake.input.files,
            snakemake.output.weights,
            options=Medformer.model_validate(snakemake.params.options),
            name=snakemake.params.name,
            seed=snakemake.params.seed,
            states=snakemake.params.states,
            threads=snakemake.params.torch_threads,
        )
