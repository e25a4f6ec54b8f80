# Findings for DVC, and the report: results/<run>/config.json, metrics/ and report.html
import sys
from pathlib import Path

from medtaskatlas.core.files import sha256


rule run_config:
    output:
        config=f"{RESULTS}/config.json",
    log:
        f"{RESULTS}/logs/report/run_config.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/run_config.tsv"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        config=RUN.config.model_dump(mode="json"),
        code=code_hash("medtaskatlas.core.files"),
    message:
        "resolved configuration"
    script:
        "../scripts/run_config.py"


# The findings as DVC reads them.
rule metrics:
    input:
        summary=f"{RESULTS}/tables/summary.parquet",
    output:
        metrics=f"{RESULTS}/metrics/findings.json",
        plots=f"{RESULTS}/metrics/findings.csv",
    log:
        f"{RESULTS}/logs/report/metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/metrics.tsv"
    localrule: True
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        run=RUN.config.run,
        code=code_hash("medtaskatlas.atlas.metrics"),
    message:
        "findings for dvc metrics and dvc plots"
    script:
        "../scripts/metrics.py"


# Snakemake's own report, made by a second Snakemake over what is finished. It runs no job: it looks
# at the targets `figures` and `tables`, never at itself, so there is nothing to lock.
rule report:
    input:
        rules.figures.input,
        rules.tables.input,
        config=rules.run_config.output.config,
    output:
        html=f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/report.tsv"
    localrule: True
    conda:
        "../../envs/base.yaml"
    # The Python that runs Snakemake is not in the image.
    container:
        None
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        python=sys.executable,
        snakefile=workflow.main_snakefile,
        # A changed caption makes a new report.
        captions={
            file.name: sha256(file)[:16]
            for file in sorted(
                Path(workflow.current_basedir, "../report").glob("*.rst")
            )
        },
    message:
        "report"
    shell:
        "{params.python:q} -m snakemake figures tables --snakefile {params.snakefile:q}"
        " --configfile {input.config:q} --nolock --report {output.html:q} > {log:q} 2>&1"
