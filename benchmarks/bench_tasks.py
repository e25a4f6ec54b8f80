"""The task bank beside its peers: MONAI, TorchIO, albumentations, kornia and scikit-image.

``python benchmarks/bench_tasks.py --out docs/benchmarks/tasks.md`` makes the page, in an
environment with the peers (requirements-bench.txt). Without ``--out`` the tables are printed, with
the peers that are there; ``--only`` names some tasks.

Nothing of the peers is imported at the top, so that ``make bench`` can collect this file.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIDES = (64, 224)
PEERS = {
    "monai": "monai_ways",
    "torchio": "torchio_ways",
    "albumentations": "albumentations_ways",
    "kornia": "kornia_ways",
    "skimage": "skimage_ways",
}
# Libraries read these when they are imported, so they must be set before Python starts.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


def restart_with_one_thread() -> None:
    """Run this command again in an environment of one thread, unless it is one."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="page to write; needs all peers")
    parser.add_argument("--only", nargs="+", metavar="TASK", help="some tasks, not all")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (9)")
    return parser.parse_args()


def main() -> None:
    """Measure, then write or print the page."""
    options = arguments()
    restart_with_one_thread()
    absent = [name for name in PEERS if find_spec(name) is None]
    if absent and options.out:
        sys.exit(f"not installed: {', '.join(absent)}. pip install -r requirements-bench.txt")
    if options.only and options.out:
        sys.exit("--out is the page of all tasks: leave --only away")
    # Progress bars, notices of new versions and of future changes are none of this page's business.
    warnings.simplefilter("ignore")
    sys.path[:0] = [str(HERE), str(HERE.parent)]

    import cv2
    import torch
    from peers.page import page
    from peers.timing import measure

    from medtaskatlas.tasks.bank import load_bank

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    peers = [
        importlib.import_module(f"peers.{m}").PEER for n, m in PEERS.items() if n not in absent
    ]
    bank = load_bank()
    unknown = set(options.only or ()) - set(bank)
    if unknown:
        sys.exit(f"no such task: {', '.join(sorted(unknown))}. `medtaskatlas tasks` lists them")
    tasks = [task for name, task in bank.items() if not options.only or name in options.only]
    cells = {}
    for task in tasks:
        for side in SIDES:
            for colour in (False, True):
                found = measure(task, peers, side, colour, options.rounds)
                if found:
                    cells[task.name, side, colour] = found
                    worst = min(m.ratio for m in found if not m.who.startswith("ours"))
                    kind = "RGB" if colour else "grey"
                    print(f"{task.name:24} {side:3} {kind:4} {worst:8.2f}", file=sys.stderr)
    text = page(cells, peers, tasks, options.rounds)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
