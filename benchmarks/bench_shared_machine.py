"""What a training step costs on a machine that others use too, by how idle threads wait.

``python benchmarks/bench_shared_machine.py`` prints a table: seconds a step of the network
of ``taco_correspondence`` (128 pairs, 64 px, as many threads as there are cores) with and without
other processes that are always busy. Each cell is a process of its own, and the ways alternate.
"""

import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

WAYS = {
    "spinning (the default of OpenMP)": {},
    "`OMP_WAIT_POLICY=passive`": {"OMP_WAIT_POLICY": "passive"},
    "as jobs set it (medtaskatlas.snakemake_ext.jobs)": None,
}
STEPS, RUNS = int(os.environ.get("STEPS", "6")), int(os.environ.get("RUNS", "3"))
BUSY = "while True: pass"


def step() -> float:
    """Median seconds of a step in this process."""
    import torch
    import yaml

    from medtaskatlas.core.files import REPOSITORY
    from medtaskatlas.run.config import parse_config

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    config = parse_config(yaml.safe_load((REPOSITORY / "config/embedded.yaml").read_text()))
    network = config.encoders["taco_correspondence"].network(0).train()
    optimiser = torch.optim.AdamW(network.parameters())
    pairs = torch.rand(128, 6, 64, 64)
    seconds = []
    for _ in range(STEPS + 2):
        begin = time.perf_counter()
        optimiser.zero_grad()
        network(pairs).square().sum(1).sub(2).square().mean().backward()
        optimiser.step()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[2:])


def measure(environment: dict[str, str], busy: int) -> float:
    """Seconds of a step in a new process, beside some that never wait."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "OPENBLAS_"))}
    with ExitStack() as beside:
        for _ in range(busy):
            process = beside.enter_context(subprocess.Popen([sys.executable, "-c", BUSY]))
            beside.callback(process.kill)
        done = subprocess.run(
            [sys.executable, __file__, "step"],
            env={**clean, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    from medtaskatlas.snakemake_ext.jobs import IDLE_THREADS

    loads = [0, 1, 2]
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(RUNS):
        for busy in loads:
            for name, environment in WAYS.items():
                seconds = measure(IDLE_THREADS if environment is None else environment, busy)
                found.setdefault((name, busy), []).append(seconds)
    print("| idle threads | " + " | ".join(f"{busy} busy beside" for busy in loads) + " |")
    print("|---|" + "---|" * len(loads))
    for name in WAYS:
        cells = [
            f"{statistics.median(found[name, busy]):.2f} s "
            f"({min(found[name, busy]):.2f} to {max(found[name, busy]):.2f})"
            for busy in loads
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if sys.argv[1:] == ["step"]:
        print(step())
    else:
        main()
