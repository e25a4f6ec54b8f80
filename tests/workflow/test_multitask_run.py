"""Multi-task systems through the workflow, from a folder of one's own."""

from __future__ import annotations

import json

import pytest
import yaml
from test_own_data import own_dataset

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.figures.registry import FIGURES
from runs import files, snakemake

pytestmark = pytest.mark.system

CONFIG = {
    "run": "together",
    "datasets_dir": "mine",
    "image_size": 32,
    "multitask": {
        "systems": {
            "stl": {},
            "stl_wide": {"like": "ctan"},
            "hps": {"weighting": "tuned"},
            "ctan": {},
            "pairs": {},
            "scratch": {"system": "ums_rep", "strategy": "scratch"},
            "full": {"system": "ums_rep", "strategy": "full"},
        },
        "seeds": [0],
        "steps": 4,
        "look_every": 2,
        "trial_steps": 2,
        "trials": 2,
        "learning_rates": [0.001, 0.003],
        "width": 4,
        "batch_size": 8,
    },
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder with a finished run over a dataset of one's own."""
    folder = tmp_path_factory.mktemp("together")
    own_dataset(folder / "mine" / "hand", "hand", n=20)
    (folder / "together.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(folder, "all", "--cores", "2", config=folder / "together.yaml")
    return folder


def test_all_tables_and_figures_of_the_part_are_made(run):
    results = run / "results/together"
    for table in TABLES.values():
        assert (results / f"tables/{table.name}.parquet").is_file() == (
            table.when == "multitask" or table.name in {"tasks", "datasets", "summary"}
        )
    for figure in FIGURES.values():
        if figure.when == "multitask":
            assert (results / f"figures/{figure.name}.png").stat().st_size > 1000
    assert (results / "report.html").is_file()
    assert not (results / "atlas.html").exists()
    assert not (results / "pairs").exists()


def test_the_table_has_every_system_and_target(run):
    gains = read_table(run / "results/together/tables/multitask_gains.parquet", "multitask_gains")
    own = gains[gains["measure"] == "relative_change"]
    assert set(own["target"]) == {"mask", "label", "objects"}
    assert {"hps", "ctan", "stl_wide"} <= set(own["system"])
    assert (own["n_subjects"] > 0).all()


def test_the_representation_is_shared_and_its_cost_told(run):
    folder = run / "results/together/multitask"
    assert (folder / "representations/CT/seed0.safetensors").is_file()
    cost = json.loads((folder / "hand/full/seed0/cost.json").read_text())
    assert cost["pretraining"]["steps"] == 4


def test_nothing_runs_twice(run):
    before = files(run, "results/together/multitask/**/*")
    done = snakemake(run, "multitask", "--cores", "2", config=run / "together.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr
    assert files(run, "results/together/multitask/**/*") == before
