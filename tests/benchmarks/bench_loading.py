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
from benchmarks.bank_pairs import bank_pairs
from pytorch_metric_learning.losses import SupConLoss

from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.taco.batches import batches
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.gradient_cache import GRADIENT_NORM, Represent, Step
from medtaskatlas.encoders.taco.machine import fabric_of
from medtaskatlas.encoders.taco.ranks import Ranks
from medtaskatlas.encoders.taco.rows import composer, training_rows
from medtaskatlas.learning.allocator import keep_memory
from medtaskatlas.run.config import parse_config

RUNS, STEPS = int(os.environ.get("RUNS", "5")), int(os.environ.get("STEPS", "40"))


def test_loading(tmp_path) -> None:
    config = parse_config(yaml.safe_load((REPOSITORY / "config/embedded.yaml").read_text()))
    options = config.encoders["taco"]
    paths, images = bank_pairs(tmp_path, datasets=8)
    keep_memory()
    torch.set_num_threads(config.torch_threads)
    rows = training_rows(paths, images)
    composed = composer(rows, options, 0)
    network = options.network(0).train()
    fabric = fabric_of(options)
    criterion = Criterion(options, network.features, len(composed.sampler.tasks), 0)
    optimiser = torch.optim.AdamW(network.parameters())
    represent, wrapped = fabric.setup(Represent(network), optimiser)
    step = Step(fabric, represent, criterion, wrapped, Ranks())
    first = next(iter(batches(rows.bank, composed, range(1))))
    in_memory, labels = to_input(first.pixels, fabric.device), torch.from_numpy(first.labels)
    twin = options.network(0).train()
    twin_optimiser = torch.optim.AdamW(twin.parameters())
    loss_of = SupConLoss(temperature=options.temperature)

    def loaded() -> None:
        for batch in batches(rows.bank, composed, range(STEPS)):
            float(step.take([batch]))

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
