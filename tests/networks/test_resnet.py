"""The file of MONAI's network is loaded alone, and is the same network."""

import subprocess
import sys


def run(code: str) -> str:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_rest_of_monai_is_not_imported() -> None:
    code = """
import sys
from medtaskatlas.networks.resnet import monai_resnet
monai_resnet()
others = ("monai", "transformers", "scipy", "torch._dynamo", "matplotlib", "pandas")
print([m for m in others if m in sys.modules])
"""
    assert run(code) == "[]"


def test_who_imports_monai_afterwards_gets_it_whole() -> None:
    code = """
from medtaskatlas.networks.resnet import monai_resnet
ours = monai_resnet()
import monai, matplotlib.pyplot, pandas
print(monai.networks.nets.ResNet.__name__, monai.transforms.Compose.__name__, monai.__version__)
print(monai_resnet() is ours)
"""
    named, same = run(code).splitlines()
    assert named.startswith("ResNet Compose 1.6")
    assert same == "True"


def test_it_is_the_network_of_the_whole_package() -> None:
    code = """
import torch
from medtaskatlas.networks.resnet import monai_resnet
alone = monai_resnet().ResNet
from monai.networks.nets.resnet import ResNet
made = []
for kind in (alone, ResNet):
    torch.manual_seed(0)
    network = kind("basic", [1, 1, 1, 1], [8, 16, 32, 64], spatial_dims=2, n_input_channels=6)
    made.append(network(torch.ones(2, 6, 32, 32)))
print(alone is ResNet, torch.equal(*made))
"""
    assert run(code) == "False True"
