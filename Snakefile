# medtaskatlas: an atlas of how medical vision tasks relate.
# Configuration: config/README.md. Default: config/embedded.yaml, named in profiles/default.
import sys

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.core.errors import AtlasError
from medtaskatlas.core.text import visible
from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.products import Products
from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.text import use_utf8
from medtaskatlas.snakemake_ext.patches import patch_snakemake
from medtaskatlas.snakemake_ext.slurm import runtime_by_attempt
from medtaskatlas.snakemake_ext.startup import (
    mark_running,
    check_writable,
    enter_container,
)

use_utf8()
min_version("9.27")
patch_snakemake()


try:
    RUN = plan_run(config)
    # Open as long as this process lives: the locks of one that was killed bind nobody.
    RUNNING = mark_running() if workflow.is_main_process else None
    if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
        enter_container(RUN.config.container)
except AtlasError as error:
    raise WorkflowError(str(error)) from None

RESULTS = RUN.results
MEMORY = Memory(RUN)
PRODUCTS = Products(RUN)

if workflow.is_main_process:
    for line in [RUN.summary(), *RUN.messages]:
        print(f"medtaskatlas: {visible(line)}", file=sys.stderr)


report: "workflow/report/workflow.rst"


# With --sdm apptainer; docs/containers.md.
container: RUN.config.container


wildcard_constraints:
    dataset="|".join(RUN.datasets),
    place="|".join(RUN.raw_data),
    task="|".join(RUN.pair_tasks),
    encoder="|".join(RUN.encoders),
    seed=r"\d+",
    set="failure|trajectory",
    point="|".join(RUN.points) or "none",
    problem="|".join(RUN.multitask.problems) if RUN.multitask else "none",
    system="|".join(RUN.multitask_systems) or "none",
    modality=r"[A-Z]+",
    learned="|".join({run.set for run in RUN.medformer_runs}) or "none",
    arm="|".join(RUN.medformer.options.arms) if RUN.medformer else "none",
    pretraining="|".join(RUN.medformer.options.pretrainings if RUN.medformer else ())
    or "none",
    percent=r"\d+",
    sources="sources|shared_sources",
    source="|".join(RUN.transfer_sources) or "none",
    protocol="warm|shared",
    target="|".join(RUN.transfer_targets) or "none",


include: "workflow/rules/data.smk"
include: "workflow/rules/pairs.smk"
include: "workflow/rules/encoders.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/multitask.smk"
include: "workflow/rules/medformer.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.metrics.output,
        rules.report.output,


onstart:
    try:
        check_writable(RESULTS)
    except AtlasError as error:
        raise WorkflowError(str(error)) from None
