# Figures and report: results/<run>/figures/<figure>.{svg,png}, figures/findings.html, atlas.html and report.html

import sys
from pathlib import Path

from medtaskatlas.core.files import sha256
from medtaskatlas.figures.interactive.static_files import ALL as STATIC_FILES

FIGURES = [
    "gallery",
    "contact_sheets",
    "task_grid",
    "shortcuts",
    "identification",
    "identification_by_task",
    "confusion",
    "task_distances",
    "atlas_map",
    "variance_shares",
    "geometry",
    "dendrogram",
    "dataset_distances",
    *(["trajectories", "severity_curves"] if "trajectories" in TABLES else []),
    *[name for name in ("failures", "unseen_tasks", "scaling") if name in TABLES],
]


# The encoder that the figures of one encoder show, and what it is shown beside: the first model
# and the first baseline of the configuration, or whatever there is.
DRAWN = [*RUN.named("model"), *RUN.encoders][0]
OTHERS = [name for name in [*RUN.named("baseline"), *RUN.encoders] if name != DRAWN]
BASELINE = OTHERS[0] if OTHERS else None
DRAWN_SEED = f"{DRAWN}/seed{RUN.config.seeds_of(DRAWN)[0]}"


rule figures:
    input:
        expand(
            f"{RESULTS}/figures/{{figure}}.{{ext}}", figure=FIGURES, ext=["svg", "png"]
        ),
        f"{RESULTS}/figures/findings.html",
        f"{RESULTS}/atlas.html",


rule figure_gallery:
    input:
        # Examples are made anew, so the figure waits for images only.
        images=expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),
    output:
        # As PNG in the report: as SVG it is some megabytes of embedded pictures.
        svg=f"{RESULTS}/figures/gallery.svg",
        png=report(
            f"{RESULTS}/figures/gallery.png",
            caption="../report/gallery.rst",
            category="Data",
            labels={"figure": "gallery of tasks"},
        ),
    log:
        f"{RESULTS}/logs/figures/gallery.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/gallery.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        tasks=list(RUN.tasks),
        seed=RUN.config.seed,
        code=[
            code_hash("medtaskatlas.figures.gallery"),
            # Captions are docstrings, which are no code.
            *(
                (RUN.task_code(name), task.description)
                for name, task in RUN.tasks.items()
            ),
        ],
    message:
        "figure gallery"
    script:
        "../scripts/figure_gallery.py"


rule figure_contact_sheets:
    input:
        images=expand(f"{RESULTS}/images/{{dataset}}.arrow", dataset=RUN.datasets),
    output:
        # As PNG in the report: as SVG it is some megabytes of embedded pictures.
        svg=f"{RESULTS}/figures/contact_sheets.svg",
        png=report(
            f"{RESULTS}/figures/contact_sheets.png",
            caption="../report/contact_sheets.rst",
            category="Data",
            labels={"figure": "contact sheets of the datasets"},
        ),
    log:
        f"{RESULTS}/logs/figures/contact_sheets.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/contact_sheets.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        heldout_datasets=RUN.heldout,
        code=code_hash("medtaskatlas.figures.contact_sheets"),
    message:
        "figure contact_sheets"
    script:
        "../scripts/figure_contact_sheets.py"


rule figure_task_grid:
    input:
        task_grid=f"{RESULTS}/tables/task_grid.parquet",
        datasets=f"{RESULTS}/tables/datasets.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/task_grid.svg",
            caption="../report/task_grid.rst",
            category="Data",
            labels={"figure": "grid of tasks and datasets"},
        ),
        png=f"{RESULTS}/figures/task_grid.png",
    log:
        f"{RESULTS}/logs/figures/task_grid.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/task_grid.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.task_grid"),
    message:
        "figure task_grid"
    script:
        "../scripts/figure_task_grid.py"


rule figure_shortcuts:
    input:
        shortcuts=f"{RESULTS}/tables/shortcuts.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/shortcuts.svg",
            caption="../report/shortcuts.rst",
            category="Data",
            labels={"figure": "shortcut audit"},
        ),
        png=f"{RESULTS}/figures/shortcuts.png",
    log:
        f"{RESULTS}/logs/figures/shortcuts.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/shortcuts.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.shortcuts"),
    message:
        "figure shortcuts"
    script:
        "../scripts/figure_shortcuts.py"


rule figure_identification:
    input:
        identification=f"{RESULTS}/tables/identification.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/identification.svg",
            caption="../report/identification.rst",
            category="Identification",
            labels={"figure": "identification by encoder"},
        ),
        png=f"{RESULTS}/figures/identification.png",
    log:
        f"{RESULTS}/logs/figures/identification.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/identification.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.identification"),
    message:
        "figure identification"
    script:
        "../scripts/figure_identification.py"


rule figure_identification_by_task:
    input:
        identification=f"{RESULTS}/tables/identification.parquet",
        tasks=f"{RESULTS}/tables/tasks.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/identification_by_task.svg",
            caption="../report/identification_by_task.rst",
            category="Identification",
            labels={"figure": "identification by task"},
        ),
        png=f"{RESULTS}/figures/identification_by_task.png",
    log:
        f"{RESULTS}/logs/figures/identification_by_task.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/identification_by_task.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        baseline=BASELINE,
        code=code_hash("medtaskatlas.figures.identification_by_task"),
    message:
        "figure identification_by_task"
    script:
        "../scripts/figure_identification_by_task.py"


rule figure_confusion:
    input:
        confusion=f"{RESULTS}/tables/confusion.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/confusion.svg",
            caption="../report/confusion.rst",
            category="Identification",
            labels={"figure": "confusion of tasks"},
        ),
        png=f"{RESULTS}/figures/confusion.png",
    log:
        f"{RESULTS}/logs/figures/confusion.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/confusion.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        code=code_hash("medtaskatlas.figures.confusion"),
    message:
        "figure confusion"
    script:
        "../scripts/figure_confusion.py"


rule figure_task_distances:
    input:
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/task_distances.svg",
            caption="../report/task_distances.rst",
            category="Relations",
            labels={"figure": "distances between tasks"},
        ),
        png=f"{RESULTS}/figures/task_distances.png",
    log:
        f"{RESULTS}/logs/figures/task_distances.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/task_distances.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        code=code_hash("medtaskatlas.figures.task_distances"),
    message:
        "figure task_distances"
    script:
        "../scripts/figure_task_distances.py"


rule figure_atlas_map:
    input:
        embeddings=f"{RESULTS}/embeddings/{DRAWN_SEED}.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/atlas_map.svg",
            caption="../report/atlas_map.rst",
            category="Relations",
            labels={"figure": "map of the embedding"},
        ),
        png=f"{RESULTS}/figures/atlas_map.png",
    log:
        f"{RESULTS}/logs/figures/atlas_map.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/atlas_map.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.figures.atlas_map"),
    message:
        "figure atlas_map"
    script:
        "../scripts/figure_atlas_map.py"


rule figure_variance_shares:
    input:
        separation=f"{RESULTS}/tables/separation.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/variance_shares.svg",
            caption="../report/variance_shares.rst",
            category="Separation",
            labels={"figure": "variance shares"},
        ),
        png=f"{RESULTS}/figures/variance_shares.png",
    log:
        f"{RESULTS}/logs/figures/variance_shares.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/variance_shares.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.variance_shares"),
    message:
        "figure variance_shares"
    script:
        "../scripts/figure_variance_shares.py"


rule figure_geometry:
    input:
        comparisons=f"{RESULTS}/tables/comparisons.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/geometry.svg",
            caption="../report/geometry.rst",
            category="Separation",
            labels={"figure": "agreement of encoders"},
        ),
        png=f"{RESULTS}/figures/geometry.png",
    log:
        f"{RESULTS}/logs/figures/geometry.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/geometry.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.geometry"),
    message:
        "figure geometry"
    script:
        "../scripts/figure_geometry.py"


rule figure_dendrogram:
    input:
        clusters=f"{RESULTS}/tables/clusters.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/dendrogram.svg",
            caption="../report/dendrogram.rst",
            category="Relations",
            labels={"figure": "tree of the tasks"},
        ),
        png=f"{RESULTS}/figures/dendrogram.png",
    log:
        f"{RESULTS}/logs/figures/dendrogram.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/dendrogram.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        code=code_hash("medtaskatlas.figures.dendrogram"),
    message:
        "figure dendrogram"
    script:
        "../scripts/figure_dendrogram.py"


rule figure_dataset_distances:
    input:
        dataset_distances=f"{RESULTS}/tables/dataset_distances.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/dataset_distances.svg",
            caption="../report/dataset_distances.rst",
            category="Relations",
            labels={"figure": "distances between datasets"},
        ),
        png=f"{RESULTS}/figures/dataset_distances.png",
    log:
        f"{RESULTS}/logs/figures/dataset_distances.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/dataset_distances.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        code=code_hash("medtaskatlas.figures.dataset_distances"),
    message:
        "figure dataset_distances"
    script:
        "../scripts/figure_dataset_distances.py"


rule figure_trajectories:
    input:
        main=f"{RESULTS}/embeddings/{DRAWN_SEED}.parquet",
        trajectory=f"{RESULTS}/embeddings/{DRAWN_SEED}.trajectory.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/trajectories.svg",
            caption="../report/trajectories.rst",
            category="Trajectories",
            labels={"figure": "trajectories in the plane"},
        ),
        png=f"{RESULTS}/figures/trajectories.png",
    log:
        f"{RESULTS}/logs/figures/trajectories.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/trajectories.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        code=code_hash("medtaskatlas.figures.trajectories"),
    message:
        "figure trajectories"
    script:
        "../scripts/figure_trajectories.py"


rule figure_severity_curves:
    input:
        trajectories=f"{RESULTS}/tables/trajectories.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/severity_curves.svg",
            caption="../report/severity_curves.rst",
            category="Trajectories",
            labels={"figure": "severity and displacement"},
        ),
        png=f"{RESULTS}/figures/severity_curves.png",
    log:
        f"{RESULTS}/logs/figures/severity_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/severity_curves.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.severity_curves"),
    message:
        "figure severity_curves"
    script:
        "../scripts/figure_severity_curves.py"


rule figure_failures:
    input:
        failures=f"{RESULTS}/tables/failures.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/failures.svg",
            caption="../report/failures.rst",
            category="Failures",
            labels={"figure": "how far failures lie"},
        ),
        png=f"{RESULTS}/figures/failures.png",
    log:
        f"{RESULTS}/logs/figures/failures.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/failures.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=DRAWN,
        code=code_hash("medtaskatlas.figures.failures"),
    message:
        "figure failures"
    script:
        "../scripts/figure_failures.py"


rule figure_unseen_tasks:
    input:
        unseen_tasks=f"{RESULTS}/tables/unseen_tasks.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/unseen_tasks.svg",
            caption="../report/unseen_tasks.rst",
            category="Unseen tasks",
            labels={"figure": "where unseen tasks fall"},
        ),
        png=f"{RESULTS}/figures/unseen_tasks.png",
    log:
        f"{RESULTS}/logs/figures/unseen_tasks.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/unseen_tasks.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        encoder=lambda wildcards: RUN.config.unseen_tasks.encoders[0],
        code=code_hash("medtaskatlas.figures.unseen_tasks"),
    message:
        "figure unseen_tasks"
    script:
        "../scripts/figure_unseen_tasks.py"


rule figure_scaling:
    input:
        scaling=f"{RESULTS}/tables/scaling.parquet",
    output:
        svg=report(
            f"{RESULTS}/figures/scaling.svg",
            caption="../report/scaling.rst",
            category="Scaling",
            labels={"figure": "what more data buys"},
        ),
        png=f"{RESULTS}/figures/scaling.png",
    log:
        f"{RESULTS}/logs/figures/scaling.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/scaling.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.scaling"),
    message:
        "figure scaling"
    script:
        "../scripts/figure_scaling.py"


rule figure_findings:
    input:
        summary=f"{RESULTS}/tables/summary.parquet",
        controls=f"{RESULTS}/tables/controls.parquet",
        datasets=f"{RESULTS}/tables/datasets.parquet",
        tasks=f"{RESULTS}/tables/tasks.parquet",
        identification=f"{RESULTS}/tables/identification.parquet",
    output:
        html=report(
            f"{RESULTS}/figures/findings.html",
            caption="../report/findings.rst",
            category="Findings",
            labels={"figure": "findings in words"},
        ),
    log:
        f"{RESULTS}/logs/figures/findings.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/findings.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("medtaskatlas.figures.findings"),
    message:
        "findings as a page"
    script:
        "../scripts/figure_findings.py"


rule interactive_atlas:
    input:
        # The first seed of each encoder is drawn; what every seed said of a pair is told.
        embeddings=[
            f"{RESULTS}/embeddings/{encoder}/seed{RUN.config.seeds_of(encoder)[0]}.parquet"
            for encoder in RUN.encoders
        ],
        predictions=PREDICTIONS,
        pairs=RUN.pair_files(RUN.cells),
        images=RUN.image_files(RUN.cells),
        task_distances=f"{RESULTS}/tables/task_distances.parquet",
    output:
        html=f"{RESULTS}/atlas.html",
    log:
        f"{RESULTS}/logs/report/interactive_atlas.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/interactive_atlas.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=more_each_time(60),
    params:
        run=RUN.config.run,
        heldout_datasets=RUN.heldout,
        heldout_tasks=RUN.config.heldout.tasks,
        seed=RUN.config.seed,
        code=code_hash("medtaskatlas.figures.interactive.page"),
        # Not code of Python, so not in that hash.
        assets=[sha256(file)[:16] for file in STATIC_FILES],
    message:
        "interactive atlas"
    script:
        "../scripts/interactive_atlas.py"


rule run_config:
    output:
        config=f"{RESULTS}/config.json",
    log:
        f"{RESULTS}/logs/report/run_config.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/run_config.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
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
    threads: 1
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
    threads: 1
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
