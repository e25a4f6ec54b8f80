"""One of several processes that share a training; see :mod:`medtaskatlas.encoders.taco.launch`."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path

import torch

from medtaskatlas.core.errors import AtlasError
from medtaskatlas.encoders.taco.launch import error_file
from medtaskatlas.encoders.taco.ranks import Ranks
from medtaskatlas.encoders.train import train_here


def main(job: Path) -> None:
    """Do the part of this process.

    Parameters
    ----------
    job
        JSON of the arguments; rank and number of processes are in the environment.
    """
    threading.Thread(target=_end_with_caller, daemon=True).start()
    # Fabric tells how processes find each other; nobody needs it.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    ranks = Ranks(int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"]))
    try:
        train_here(**json.loads(job.read_text()), ranks=ranks)
    except AtlasError as error:
        facts = {
            "kind": type(error).__name__,
            "problem": error.problem,
            "remedy": error.remedy,
        }
        error_file(job, ranks.rank).write_text(json.dumps(facts))
        sys.exit(1)
    torch.distributed.destroy_process_group()


def _end_with_caller() -> None:
    """End when the pipe from the caller closes: then it is gone."""
    # Not sys.stdin, whose lock a thread that waits would keep beyond the end.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
