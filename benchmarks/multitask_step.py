"""What a step of multi-task training costs, as ratios of processor time in one run.

``python benchmarks/multitask_step.py`` prints a table: the engine beside a bare loop of PyTorch
over the same network and tensors, hard sharing beside its dearest single-task network, and every
system beside hard sharing. Ways alternate, and each ratio is one of medians, so that a machine that
others use too does little harm. One thread; 64 px, 16 images, ResNet-10 of width 16.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.learning.checkpoint import Checkpoint
from medtaskatlas.learning.engine import GRADIENT_NORM, fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.multitask.objective import MultitaskObjective
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.multitask.torchjd_weightings import WEIGHTINGS
from medtaskatlas.multitask.weighting import weighting_of

sys.path.append(str(REPOSITORY / "tests"))
from toy_targets import AGAINST, LABEL, MASK, batch

SIDE, IMAGES = 64, 16
STEPS, RUNS = int(os.environ.get("STEPS", "100")), int(os.environ.get("RUNS", "5"))
PAIR, THREE = [MASK, LABEL], [MASK, LABEL, AGAINST]
BATCHES = [batch(i, size=IMAGES, side=(SIDE, SIDE)) for i in range(8)]


def network(system: str, targets: list):
    kind = SYSTEMS[system]
    return kind.network(targets, kind.options(), 0).train()


def bare(targets: list) -> None:
    """A loop as one writes it by hand, with the optimiser and the clipping of the engine."""
    net = network("hps", targets)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for i in range(STEPS):
        data = BATCHES[i % len(BATCHES)]
        optimiser.zero_grad(set_to_none=True)
        outputs = net(data.images, data.rows)
        loss = sum(t.loss(outputs[t.name], data.truths[t.name]) for t in targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), GRADIENT_NORM)
        optimiser.step()


def engine(targets: list) -> None:
    """The same by the engine, its start and the counting of operations among it."""
    names = [t.name for t in targets]
    objective = MultitaskObjective(
        network("hps", targets),
        targets,
        lambda step: BATCHES[step % len(BATCHES)],
        weighting_of("equal", names, epoch=1),
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "state", "bench")
        fit(objective, Training(steps=STEPS), checkpoint, seed=0, title="bench")


def step(system: str, targets: list, weighting: str = "equal") -> Callable[[], None]:
    """A step of a system, without an optimiser, whose part is the same for all."""
    net = network(system, targets)
    weigh = weighting_of(weighting, [t.name for t in targets], epoch=1)
    trained = list(net.parameters())

    def run() -> None:
        net.zero_grad(set_to_none=True)
        outputs = net(BATCHES[0].images, BATCHES[0].rows)
        losses = {t.name: t.loss(outputs[t.name], BATCHES[0].truths[t.name]) for t in targets}
        weigh.backward(losses, trained, torch.Tensor.backward)

    run()
    return run


def seconds(ways: dict[str, Callable[[], None]], runs: int) -> dict[str, float]:
    """Median processor seconds of each way; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            begin = time.process_time()
            way()
            taken[name].append(time.process_time() - begin)
    return {name: statistics.median(found) for name, found in taken.items()}


def main() -> None:
    set_up_torch(1)
    found = seconds({"bare": lambda: bare(PAIR), "engine": lambda: engine(PAIR)}, RUNS)
    print(f"| {STEPS} steps of hps, mask and label | ratio | asked |\n|---|---|---|")
    print(f"| speed of the engine / bare loop | {found['bare'] / found['engine']:.3f} | >= 0.95 |")
    for title, targets in (("mask, label", PAIR), ("mask, label, map", THREE)):
        ways = {f"stl {t.name}": step("stl", [t]) for t in targets}
        ways |= {s: step(s, targets) for s in ("hps", "mtan", "ctan", "ctan_self", "ums_rep")}
        found = seconds(ways, 4 * RUNS)
        slower = max(found[f"stl {t.name}"] for t in targets)
        print(f"| hps / slower stl ({title}) | {found['hps'] / slower:.3f} | <= 1.1 |")
        print(f"| ctan / hps ({title}) | {found['ctan'] / found['hps']:.3f} | <= 1.6 |")
        for system in ("mtan", "ctan_self"):
            print(f"| {system} / hps ({title}) | {found[system] / found['hps']:.3f} | |")
        total = sum(found[f"stl {t.name}"] for t in targets)
        print(f"| hps / all stl ({title}) | {found['hps'] / total:.3f} | |")
    ways = {w: step("hps", THREE, w) for w in WEIGHTINGS if w not in ("cagrad", "nash_mtl")}
    found = seconds(ways, 2 * RUNS)
    for name in ways:
        print(f"| {name} / equal (hps; mask, label, map) | {found[name] / found['equal']:.3f} | |")


if __name__ == "__main__":
    main()
