"""What reading pairs costs in training, beside a bare loop over a tensor in memory.

``make bench``. Five alternating runs of each on generated pairs at 64 px with the network and the
batch of config/embedded.yaml; the ratio of pairs a second is printed, never asserted. ``STEPS`` and
``RUNS`` in the environment make it shorter or longer.
"""

import os
import statistics
import time

import torch
import yaml
from pytorch_metric_learning.losses import SupConLoss

from benchmarks.bank_pairs import bank_pairs
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.pairbank import training_rows
from medtaskatlas.learning.checkpoint import Checkpoint
from medtaskatlas.learning.engine import GRADIENT_NORM, fit
from medtaskatlas.learning.machine import keep_memory, pick_device
from medtaskatlas.learning.processes import Processes
from medtaskatlas.run.config import parse_config

RUNS, STEPS = int(os.environ.get("RUNS", "5")), int(os.environ.get("STEPS", "40"))


def test_loading(tmp_path) -> None:
    config = parse_config(yaml.safe_load((REPOSITORY / "config/embedded.yaml").read_text()))
    options = config.encoders["taco"]
    paths, images = bank_pairs(tmp_path, datasets=8)
    keep_memory()
    torch.set_num_threads(config.torch_threads)
    rows = training_rows(paths, images)
    training = options.model_copy(update={"steps": STEPS})
    network = options.network(0)
    objective = options.objective(network, rows, 0, Processes())
    first = objective.batch(0)
    device = pick_device()
    in_memory, labels = to_input(first.pixels, device), torch.from_numpy(first.labels).to(device)
    twin = options.network(0).to(device).train()
    twin_optimiser = torch.optim.AdamW(twin.parameters())
    loss_of = SupConLoss(temperature=options.temperature)

    def loaded() -> None:
        fit(objective, training, Checkpoint(tmp_path / "state", ""), seed=0, title="loaded")

    def bare() -> None:
        for _ in range(STEPS):
            loss = loss_of(twin(in_memory), labels)
            twin_optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), GRADIENT_NORM)
            twin_optimiser.step()

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
