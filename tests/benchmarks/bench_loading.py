"""What reading pairs costs in training, beside a bare loop over a tensor in memory.

``make bench``. Five alternating runs of each on generated pairs at 64 px with the network and the
batch of config/embedded.yaml; the ratio of pairs a second is printed, never asserted.
"""

import statistics
import time

import numpy as np
import torch
import yaml
from pytorch_metric_learning.losses import SupConLoss

from generated import SPLITS, write_dataset
from medtaskatlas.config import parse_config
from medtaskatlas.encoders.network import build, to_input
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.sampler import CrossedSampler
from medtaskatlas.encoders.train import batches, take_step
from medtaskatlas.files import REPOSITORY
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank

RUNS, STEPS = 5, 40


def test_loading(tmp_path) -> None:
    config = parse_config(yaml.safe_load((REPOSITORY / "config/embedded.yaml").read_text()))
    options = config.encoders["taco"].model_dump()
    images = [write_dataset(tmp_path / f"{d}.arrow", n=60, side=64, seed=d) for d in range(8)]
    paths = []
    for task in (t for t in load_bank().values() if not t.needs & {"label", "colour", "boxes"}):
        for file in images:
            paths.append(tmp_path / "pairs" / task.name / file.name)
            make_pairs(file, task, paths[-1], pairs_per_cell=60, splits=SPLITS, seed=0)
    torch.set_num_threads(config.torch_threads)
    bank = PairBank(paths, images)
    rows = np.flatnonzero(bank.strings("split") == "train")
    sampler = CrossedSampler(
        *(bank.strings(name)[rows] for name in ("task", "dataset", "image_id")),
        n_tasks=options["batch_tasks"],
        n_images=options["batch_images"],
        seed=0,
    )
    network, criterion = build(options, 0).train(), SupConLoss(temperature=0.1)
    optimiser = torch.optim.AdamW(network.parameters())
    cpu = torch.device("cpu")
    fixed, labels = next(iter(batches(bank, rows, sampler, range(1))))
    in_memory = to_input(fixed, cpu)

    def loaded() -> None:
        for pixels, batch_labels in batches(bank, rows, sampler, range(STEPS)):
            take_step(network, criterion, optimiser, to_input(pixels, cpu), batch_labels)

    def bare() -> None:
        for _ in range(STEPS):
            take_step(network, criterion, optimiser, in_memory, labels)

    ratios = []
    for _ in range(RUNS):
        seconds = {}
        for name, loop in (("loaded", loaded), ("bare", bare)):
            begin = time.perf_counter()
            loop()
            seconds[name] = time.perf_counter() - begin
        ratios.append(seconds["bare"] / seconds["loaded"])
        rate = STEPS * len(labels) / seconds["loaded"]
        print(f"{rate:6.0f} pairs/s with loading, ratio {ratios[-1]:.3f}")
    print(f"median ratio to a bare loop: {statistics.median(ratios):.3f}")
