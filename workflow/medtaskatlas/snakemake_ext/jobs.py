"""The frame of every Snakemake script, around its one call."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from medtaskatlas.core.errors import AtlasError
from medtaskatlas.core.job_facts import LOG_FORMAT, provide_job_facts
from medtaskatlas.core.text import visible

if TYPE_CHECKING:
    from medtaskatlas.atlas.registry import Product

# Threads that wait for each other sleep, with GNU's and Intel's OpenMP and with OpenBLAS. By
# default they spin, and where others use the machine a training step takes several times as long
# (docs/benchmarks/shared_machine.md).
IDLE_THREADS = {
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_THREAD_TIMEOUT": "4",
}


class _Visible(logging.Formatter):
    """Lines without control characters: they quote names and texts of files and servers."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextmanager
def job(snakemake: Any) -> Iterator[logging.Logger]:
    """Log to the rule's log file; end on an error that users can act on without a traceback.

    Tables that are written inside carry the stamp of the job.
    """
    # Two jobs on two cores must not each start a thread per core; numpy reads this when imported.
    threads = {f"{name}_NUM_THREADS": str(snakemake.threads) for name in ("OMP", "OPENBLAS", "MKL")}
    for name, value in {**threads, **IDLE_THREADS}.items():
        os.environ.setdefault(name, value)
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, mode="w")
    handler.setFormatter(_Visible(LOG_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
    # Where the log lies on a full disk, the message below is worth more than the log's own trouble.
    logging.raiseExceptions = False
    logger = logging.getLogger("medtaskatlas")
    try:
        with provide_job_facts(lambda: _facts(snakemake)):
            yield logger
    except AtlasError as error:
        logger.error("%s", error)
        print(f"\nmedtaskatlas: rule {snakemake.rule}: {error}\n", file=sys.stderr)
        sys.exit(1)
    except BaseException:
        logger.error("%s", traceback.format_exc())
        raise


def make(product: Product, snakemake: Any) -> None:
    """Call the function of a table or figure with inputs, outputs and parameters by name."""
    resolve_name(f"medtaskatlas.{product.function}")(
        **snakemake.input,
        **snakemake.output,
        **{name: snakemake.params[name] for name in product.params},
        **{key: snakemake.config.get(key) for key in product.config},
    )


def _facts(snakemake: Any) -> dict[str, Any]:
    """Facts about the job, gathered when a table is written."""
    # Late: most jobs write no table, and a pairs job must not pay for the configuration.
    from medtaskatlas.provenance.stamp import stamp

    return stamp(snakemake)
