"""What figures read: tables, embeddings and images of a synthetic run."""

from __future__ import annotations

import pytest
from figure_tables import make_tables

from generated import write_dataset
from medtaskatlas.atlas.failures.table import failures
from medtaskatlas.atlas.trajectories.table import trajectories


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Name to path."""
    return make_tables(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="session")
def files(tables, set_run, tmp_path_factory):
    """Paths of all that figures read, by the names of the registry."""
    folder = tmp_path_factory.mktemp("files")
    made = {name: folder / f"{name}.parquet" for name in ("trajectories", "failures")}
    options = {"run": "synthetic", "n_draws": 50}
    main, walked, wrong = (set_run[name] for name in ("main", "trajectory", "failure"))
    pairs, images = set_run["pairs"]["trajectory"], set_run["images"]
    trajectories(main, walked, pairs, images, made["trajectories"], **options)
    failures(main, wrong, made["failures"], **options)
    made |= {"shown_embeddings": main[0], "shown_trajectories": walked[0]}
    made["images"] = [
        write_dataset(folder / "ct_a.arrow", groups=4, annotation="derived"),
        write_dataset(folder / "xr_held.arrow", groups=4, seed=1, modality="XR", masks=False),
    ]
    return tables | made
