"""What is added to Snakemake: the wrapper of a job, GPUs, Slurm, patches."""
