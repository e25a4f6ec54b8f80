"""What a pairs job costs: 5,000 main pairs of every task, reading and writing included.

``make bench`` or ``pytest -s benchmarks/bench_pairs.py``. Every task runs in a process of its
own with one thread, as a job does; imports are left out of the time, and the peak of memory is the
process's, mapped files included. Numbers are printed, never asserted: the goals are 3,000 pairs a
second at 64 px and 300 at 224 px in geometric mean, no task under 300 at 64 px, and 500 MiB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from generated import make_sample
from medtaskatlas.formats.images import write_images
from medtaskatlas.tasks.bank import load_bank

PAIRS = 5000
# Images, of which a main pair each is made in turn.
IMAGES = {64: 2500, 224: 1000}
# Different pictures among them: what makes them does not count.
PICTURES = 50
CODE = r"""
import json, re, sys, time
from pathlib import Path
import cv2
from medtaskatlas.pairs.sets import Amounts, make_sets, without_pandas
from medtaskatlas.tasks.bank import load_bank

images, name, folder, pairs, sets = sys.argv[1:]
cv2.setNumThreads(1)
without_pandas()
task = load_bank()[name]
outs = {s: f"{folder}/{s}/{name}/bench.arrow" for s in sets.split(",")}
amounts = Amounts(int(pairs), failures=40, trajectories=8, levels=11)
splits = {"train": 0.6, "val": 0.2, "test": 0.2}
wall, cpu = time.perf_counter(), time.process_time()
make_sets(images, task, outs, amounts=amounts, splits=splits, seed=0)
cost = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
# Not getrusage: its peak begins with that of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
print(json.dumps({**cost, "mib": int(peak[1]) / 1024}))
"""


def write_bench(path: Path, n: int, side: int) -> Path:
    """Colour images with everything that a task may need."""
    samples = [make_sample(side, colour=True, seed=i) for i in range(PICTURES)]
    turn = np.arange(n) % PICTURES
    write_images(
        path,
        {
            "image_id": [f"image{i}" for i in range(n)],
            "group_id": [f"group{i // 4}" for i in range(n)],
            "subject_id": [f"toy/group{i // 4}" for i in range(n)],
            "group_source": ["published"] * n,
            "split": [("train", "train", "train", "val", "test")[i // 4 % 5] for i in range(n)],
            "image": np.stack([s.image for s in samples])[turn],
            "mask": np.stack([s.mask for s in samples])[turn],
            "instances": np.stack([s.instances for s in samples])[turn],
            "boxes": [samples[i].boxes for i in turn],
            "label": [int(i) % 3 for i in range(n)],
        },
        {
            "dataset": path.stem,
            "source": "bench",
            "modality": "CT",
            "body_part": "none",
            "licence": "CC0-1.0",
            "classes": ["one", "two"],
            "labels": ["a", "b", "c"],
            "annotation": "ground_truth",
            "manifest_sha256": "0" * 64,
            "label_kind": "multi_class",
            "maps": {},
            "values": {},
        },
    )
    return path


def run(images: Path, task: str, folder: Path, pairs: int, sets: str) -> dict[str, float]:
    """One job in a process of its own; what it wrote is deleted."""
    command = [sys.executable, "-c", CODE, str(images), task, str(folder), str(pairs), sets]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for path in folder.glob(f"*/{task}/bench.arrow"):
        path.unlink()
    return json.loads(done.stdout)


def mean(values: list[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


@pytest.mark.parametrize("side", list(IMAGES))
def test_pairs(tmp_path: Path, side: int) -> None:
    images = write_bench(tmp_path / "bench.arrow", IMAGES[side], side)
    tasks = [t.name for t in load_bank().values() if not t.extra]
    print(f"\n{side} px, {PAIRS} main pairs a job\n{'task':24s} pairs/s  pairs/CPU s   MiB")
    rates: dict[str, list[float]] = {"wall": [], "cpu": []}
    peak = 0.0
    for task in tasks:
        cost = run(images, task, tmp_path, PAIRS, "main")
        for clock, found in rates.items():
            found.append(PAIRS / cost[clock])
        peak = max(peak, cost["mib"])
        print(f"{task:24s}{rates['wall'][-1]:8.0f} {rates['cpu'][-1]:12.0f} {cost['mib']:5.0f}")
    print(f"{'geometric mean':24s}{mean(rates['wall']):8.0f} {mean(rates['cpu']):12.0f}")
    print(f"{'slowest':24s}{min(rates['wall']):8.0f} {min(rates['cpu']):12.0f} {peak:5.0f} (most)")


def test_all_sets_of_a_common_cell(tmp_path: Path) -> None:
    """100 main pairs, 40 failures and 8 trajectories of 11 levels at 64 px: seconds a job."""
    images = write_bench(tmp_path / "bench.arrow", 300, 64)
    tasks = [t.name for t in load_bank().values() if not t.extra]
    costs = [run(images, t, tmp_path, 100, "main,failure,trajectory")["wall"] for t in tasks]
    print(f"\nall sets of a cell at 64 px: {np.mean(costs):.3f} s mean, {max(costs):.3f} s most")
