# Figures: results/<run>/figures/<figure>.{svg,png}, figures/findings.html and atlas.html
from medtaskatlas.core.files import sha256
from medtaskatlas.figures.interactive.static_files import ALL as STATIC_FILES


rule figures:
    input:
        [
            f"{RESULTS}/figures/{figure.name}.{form}"
            for figure in PRODUCTS.figures
            for form in figure.formats
        ],
        f"{RESULTS}/atlas.html" if RUN.encoders else [],


for figure in PRODUCTS.known_figures:

    rule:
        name:
            f"figure_{figure.name}"
        input:
            **PRODUCTS.inputs(figure),
        output:
            # The report has one of the formats.
            **{
                form: (
                    report(
                        f"{RESULTS}/figures/{figure.name}.{form}",
                        caption=f"../report/{figure.name}.rst",
                        category=figure.category,
                        labels={"figure": figure.label},
                    )
                    if form == figure.shown
                    else f"{RESULTS}/figures/{figure.name}.{form}"
                )
                for form in figure.formats
            },
        log:
            f"{RESULTS}/logs/figures/{figure.name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/figures/{figure.name}.tsv"
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=1500,
            runtime=figure.minutes,
        params:
            **PRODUCTS.params(figure),
            code=code_hash(*figure.modules),
        message:
            f"figure {figure.name}"
        script:
            "../scripts/figure.py"


if RUN.encoders:

    rule interactive_atlas:
        input:
            **{
                table.name: PRODUCTS.table(table.name)
                for table in PRODUCTS.tables
                if table.name in ("functional_distance", "graded_distance")
            },
            # The first seed of each encoder is drawn; what every seed said of a pair is told.
            embeddings=PRODUCTS.files("first_embeddings"),
            predictions=PRODUCTS.files("predictions"),
            pairs=PRODUCTS.files("pairs"),
            images=PRODUCTS.files("images_of_pairs"),
            task_distances=PRODUCTS.table("task_distances"),
            # What works alike, in runs that ask for it.
        output:
            html=f"{RESULTS}/atlas.html",
        log:
            f"{RESULTS}/logs/report/interactive_atlas.log",
        benchmark:
            f"{RESULTS}/benchmarks/report/interactive_atlas.tsv"
        conda:
            "../../envs/base.yaml"
        resources:
            mem_mb=2500,
            runtime=runtime_by_attempt(60),
        params:
            run=RUN.config.run,
            heldout_datasets=RUN.heldout,
            seed=RUN.config.seed,
            code=code_hash("medtaskatlas.figures.interactive.page"),
            # Not code of Python, so not in that hash.
            assets=[sha256(file)[:16] for file in STATIC_FILES],
        message:
            "interactive atlas"
        script:
            "../scripts/interactive_atlas.py"
