# medtaskatlas: an atlas of how medical vision tasks relate.
# Configuration: config/README.md. Default: config/embedded.yaml, named in profiles/default.
import sys

from snakemake.exceptions import WorkflowError
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.utils import min_version

from medtaskatlas.errors import AtlasError
from medtaskatlas.plan import plan_run
from medtaskatlas.provenance import code_hash
from medtaskatlas.scheduling import one_look_at_a_time

min_version("9.27")
one_look_at_a_time(JobScheduler)


try:
    RUN = plan_run(config)
except AtlasError as error:
    raise WorkflowError(str(error)) from None

RESULTS = RUN.results

if workflow.is_main_process:
    for line in [RUN.summary(), *RUN.messages]:
        print(f"medtaskatlas: {line}", file=sys.stderr)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="|".join(RUN.datasets),
    place="|".join(RUN.dataset_at),
    task="|".join(RUN.made_tasks),
    encoder="|".join(RUN.encoders),
    seed=r"\d+",
    set="failure|trajectory",
    point="|".join(RUN.points) or "none",


include: "workflow/rules/data.smk"
include: "workflow/rules/pairs.smk"
include: "workflow/rules/encoders.smk"
include: "workflow/rules/atlas.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.report.output,
