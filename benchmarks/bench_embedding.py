"""What reading pairs costs in embedding, beside a bare forward of a tensor in memory.

``make bench``. Five alternating runs of each on generated pairs at 64 px with the network of
config/embedded.yaml; the ratio of pairs a second is printed, never asserted. ``BATCHES`` and
``RUNS`` in the environment make it shorter or longer.
"""

import os
import statistics
import time

import numpy as np
import torch
import yaml

from benchmarks.bank_pairs import bank_pairs
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.learning.machine import keep_memory
from medtaskatlas.learning.prefetch import prefetch
from medtaskatlas.run.config import parse_config

RUNS, BATCHES = int(os.environ.get("RUNS", "5")), int(os.environ.get("BATCHES", "40"))


def test_embedding(tmp_path) -> None:
    config = parse_config(yaml.safe_load((REPOSITORY / "config/embedded.yaml").read_text()))
    made = config.encoders["taco_correspondence"]
    paths, images = bank_pairs(tmp_path, datasets=4)
    keep_memory()
    torch.set_num_threads(config.torch_threads)
    bank, network, device = PairBank(paths, images), made.network(0).eval(), torch.device("cpu")
    rows = np.resize(np.arange(len(bank)), BATCHES * made.batch)
    parts = np.split(rows, BATCHES)
    in_memory = to_input(bank.gather(parts[0]), device)

    def read() -> None:
        for pixels in prefetch(bank.gather, parts):
            network(to_input(pixels, device)).float().cpu().numpy()

    def bare() -> None:
        for _ in parts:
            network(in_memory)

    ratios = []
    for _ in range(RUNS):
        seconds = {}
        for name, loop in (("read", read), ("bare", bare)):
            begin = time.perf_counter()
            with torch.inference_mode():
                loop()
            seconds[name] = time.perf_counter() - begin
        ratios.append(seconds["bare"] / seconds["read"])
        print(f"{len(rows) / seconds['read']:6.0f} pairs/s with reading, ratio {ratios[-1]:.3f}")
    print(f"median ratio to a bare forward: {statistics.median(ratios):.3f}")
