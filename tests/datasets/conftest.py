"""The embedded datasets, fetched and prepared once."""

from __future__ import annotations

import pytest

from generated import SPLITS
from medfiles import SIZE
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.formats.images import ImageSet


@pytest.fixture(scope="session")
def catalogue():
    """The embedded datasets: what can be had without a network."""
    return {n: d for n, d in load_catalogue().items() if d.source == "embedded"}


@pytest.fixture(scope="session")
def raw(catalogue, tmp_path_factory):
    """Folder of the fetched files of each embedded dataset."""
    root = tmp_path_factory.mktemp("data")
    for name, dataset in catalogue.items():
        fetch(dataset, root / name)
    return root


@pytest.fixture(scope="session")
def prepared(catalogue, raw, tmp_path_factory) -> dict[str, ImageSet]:
    """All embedded datasets, prepared."""
    root = tmp_path_factory.mktemp("images")
    for name, dataset in catalogue.items():
        prepare(
            dataset,
            raw / name,
            root / f"{name}.arrow",
            image_size=SIZE,
            splits=SPLITS,
            seed=0,
        )
    return {name: ImageSet(root / f"{name}.arrow") for name in catalogue}
