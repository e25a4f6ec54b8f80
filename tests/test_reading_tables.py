"""Every example of docs/reading_tables.md runs on the tables of a small run."""

import re

import matplotlib as mpl
import pandas as pd
import pytest

from atlas_synthetic import make_frame, make_vectors, with_roles, write_embedding
from medtaskatlas.atlas.comparisons.table import comparisons
from medtaskatlas.atlas.confusion import confusion
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.identification import identification
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.task_neighbours import neighbours
from medtaskatlas.core.files import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reading_tables.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
FEW = {"run": "embedded", "n_draws": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with results/embedded/, made of synthetic embeddings."""
    folder = tmp_path_factory.mktemp("reading")
    run = folder / "results" / "embedded"
    tables = run / "tables"
    tables.mkdir(parents=True)
    frame = with_roles(make_frame(), heldout_tasks=["shear"])
    embeddings, predictions = [], []
    for name, seeds, noise in (("taco", [0, 1], 1.0), ("pixels", [0], 2.0)):
        for seed in seeds:
            path = run / "embeddings" / name / f"seed{seed}.parquet"
            vectors = make_vectors(frame, seed=seed + len(name), noise=noise)
            embeddings.append(
                write_embedding(path, frame, vectors, name, seed, name, run="embedded")
            )
            predictions.append(run / "predictions" / name / f"seed{seed}.parquet")
            predict(path, predictions[-1], probes=False)
    identification(predictions, tables / "identification.parquet", **FEW)
    confusion(predictions, tables / "confusion.parquet", **FEW)
    comparisons(predictions, tables / "comparisons.parquet", **FEW)
    task_distances(embeddings, tables / "task_distances.parquet", **FEW)
    neighbours(embeddings, tables / "neighbours.parquet", **FEW)
    return folder


def test_examples_run_and_say_something(folder, monkeypatch):
    monkeypatch.chdir(folder)
    space = {}
    with mpl.rc_context({"backend": "agg"}):
        for number, block in enumerate(BLOCKS):
            code = compile(block, f"reading_tables.md, example {number + 1}", "exec")
            exec(code, space)
    assert len(BLOCKS) > 8
    found = {k: v for k, v in space.items() if isinstance(v, pd.DataFrame | pd.Series)}
    assert {k for k, v in found.items() if v.empty} == set()
    assert {
        "hardest",
        "differences",
        "cluster",
        "nearest",
        "mistaken",
        "runs",
        "placed",
    } <= found.keys()
    assert (folder / "identification.svg").exists()
    assert space["vectors"].shape[0] == len(space["embedding"])


def test_pandas_and_duckdb_say_the_same(folder, monkeypatch):
    monkeypatch.chdir(folder)
    duckdb = pytest.importorskip("duckdb")
    pandas_block, duck_block = BLOCKS[1], next(b for b in BLOCKS if "import duckdb" in b)
    space = {}
    exec(BLOCKS[0] + pandas_block, space)
    query = re.search(r'sql\("""(.*?)"""\)', duck_block, re.S)[1]
    said = duckdb.sql(query).df().set_index(["encoder", "split"])["accuracy"]
    best = space["best"].set_index(["encoder", "split"])["estimate"].round(3)
    pd.testing.assert_series_equal(said.sort_index(), best.sort_index(), check_names=False)
