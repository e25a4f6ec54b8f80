"""Several processes that share a training: started, watched, and never left behind.

Each is ``python -m medtaskatlas.learning.launch``. A spawned or forked copy of the caller would not
do: the scripts of Snakemake would run again in every spawned one, and threads of torch do not
outlive a fork.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from medtaskatlas.core import errors
from medtaskatlas.core.code_hash import PACKAGE
from medtaskatlas.learning.interrupt import Interrupt

# How long the first process may take to save its state, seconds; Slurm gives 30 before it kills.
GRACE = 25.0


def launch(function: str, arguments: dict[str, Any], world: int) -> None:
    """Call a function in several processes and wait for them.

    Parameters
    ----------
    function
        ``module:name``; it is also given ``processes``, see
        :class:`~medtaskatlas.learning.processes.Processes`.
    arguments
        Its keyword arguments; JSON-able.
    world
        How many processes.

    Raises
    ------
    AtlasError
        What the first process to fail said, where a user can act on it.
    RuntimeError
        If one failed otherwise; its traceback is in the log.
    SystemExit
        After SIGTERM, once the first process has saved the state.
    """
    with tempfile.TemporaryDirectory(prefix="medtaskatlas-") as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps({"function": function, "arguments": arguments}))
        port = _free_port()
        with Interrupt() as interrupt:
            workers = [_start(job, rank, world, port) for rank in range(world)]
            try:
                _watch(workers, interrupt)
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
        codes = [worker.returncode for worker in workers]
        if interrupt.requested:
            raise SystemExit(128 + signal.SIGTERM)
        for error_file in sorted(Path(folder).glob("error*.json")):
            facts = json.loads(error_file.read_text())
            raise getattr(errors, facts["kind"])(facts["problem"], facts["remedy"])
        if any(codes):
            raise RuntimeError(f"the processes of a training ended with {codes}")


def _start(job: Path, rank: int, world: int, port: int) -> subprocess.Popen:
    """Start one process; it ends when the pipe to it closes, so it cannot outlive this one."""
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    if sys.platform == "linux":
        # Otherwise gloo looks for the name of the machine, which may lead nowhere.
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    command = [sys.executable, "-m", "medtaskatlas.learning.launch", str(job)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)  # noqa: S603


def _watch(workers: list[subprocess.Popen], interrupt: Interrupt) -> None:
    """Wait until all have ended, or one has failed, or a request to stop was answered."""
    while any(worker.poll() is None for worker in workers):
        if interrupt.requested:
            # The first alone saves; it needs no answer of the others for that.
            workers[0].send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                workers[0].wait(GRACE)
            return
        if any(worker.returncode for worker in workers):
            # The others fail of the one that is gone; the first may still tell why.
            time.sleep(1)
            return
        time.sleep(0.1)


def _free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _work(job: Path) -> None:
    """The part of one process; its rank and their number are in the environment."""
    import torch

    from medtaskatlas.learning.processes import Processes

    threading.Thread(target=_end_with_caller, daemon=True).start()
    # Fabric tells how processes find each other; nobody needs it.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes = Processes(int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"]))
    call = json.loads(job.read_text())
    module, name = call["function"].split(":")
    try:
        getattr(import_module(module), name)(**call["arguments"], processes=processes)
    except errors.AtlasError as error:
        facts = {"kind": type(error).__name__, "problem": error.problem, "remedy": error.remedy}
        job.with_name(f"error{processes.rank}.json").write_text(json.dumps(facts))
        sys.exit(1)
    torch.distributed.destroy_process_group()


def _end_with_caller() -> None:
    """End when the pipe from the caller closes: then it is gone."""
    # Not sys.stdin, whose lock a thread that waits would keep beyond the end.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
