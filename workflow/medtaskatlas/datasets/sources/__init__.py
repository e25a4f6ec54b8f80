"""Sources of datasets: value of `reader` to class. A new source is one file here and one line."""

from __future__ import annotations

from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.sources.folder import FolderDataset
from medtaskatlas.datasets.sources.ham10000 import Ham10000Dataset
from medtaskatlas.datasets.sources.npz import NpzDataset
from medtaskatlas.datasets.sources.openkbp import OpenKbpDataset
from medtaskatlas.datasets.sources.packaged import PackagedDataset

SOURCES: dict[str, type[Dataset]] = {
    "packaged": PackagedDataset,
    "npz": NpzDataset,
    "folder": FolderDataset,
    "openkbp": OpenKbpDataset,
    "ham10000": Ham10000Dataset,
}
