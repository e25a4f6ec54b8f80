"""Medformer through the workflow, from a folder of one's own."""

from __future__ import annotations

import pytest
import yaml
from test_own_data import own_dataset

from medtaskatlas.atlas.run_page import run_page
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.medformer_pictures import Occlusions, Reconstructions
from runs import snakemake

pytestmark = pytest.mark.system

CONFIG = {
    "run": "former",
    "datasets": [{"name": "hand_48", "of": "hand", "image_size": 48}],
    "datasets_dir": "mine",
    "image_size": 32,
    "medformer": {
        "stem_width": 8,
        "pretrainings": {"unlabelled": {"pretexts": ["masked", "deblurring"]}},
        "pretraining_steps": 2,
        "arms": {
            "single": {},
            "multi": {"sets": "all"},
            "ssl": {"start": "unlabelled"},
            "multi_single": {"start": "multi"},
        },
        "label_fractions": [0.5, 1.0],
        "seeds": [0],
        "steps": 4,
        "look_every": 2,
        "batch_size": 8,
    },
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder with a finished run over a dataset of one's own."""
    folder = tmp_path_factory.mktemp("former")
    own_dataset(folder / "mine" / "hand", "hand", n=20)
    (folder / "former.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(folder, "all", "--cores", "2", config=folder / "former.yaml")
    return folder


def test_tables_have_every_arm_and_share(run):
    tables = run / "results/former/tables"
    scores = read_table(tables / "medformer_scores.parquet", "medformer_scores")
    assert set(zip(scores["arm"], scores["labels"], strict=True)) == {
        (arm, labels) for arm in CONFIG["medformer"]["arms"] for labels in (50, 100)
    }
    assert set(scores["set"]) == {"hand", "hand_48"}
    images = [ImageSet(run / f"results/former/images/{n}.arrow") for n in ("hand", "hand_48")]
    assert [one.images.shape[1] for one in images] == [32, 48]
    one, other = (each.column("split").to_pylist() for each in images)
    assert one == other
    gains = read_table(tables / "medformer_gains.parquet", "medformer_gains")
    assert {"start", "sets"} <= set(gains["differs"])
    same = read_table(tables / "medformer_duplicates.parquet", "medformer_duplicates")
    assert sorted(same[["set", "n_left_out"]].to_numpy().tolist()) == [["hand", 0], ["hand_48", 0]]
    assert set(gains["duplicates"]) == {"kept"}
    curves = read_table(tables / "medformer_labels.parquet", "medformer_labels")
    assert set(curves["measure"]) == {"area", "slope"}
    costs = read_table(tables / "medformer_convergence.parquet", "medformer_convergence")
    parts = costs[costs["seed"].isna() & (costs["measure"] == "steps") & (costs["labels"] == 100)]
    parts = parts[parts["set"] == "hand"]
    steps = parts.set_index(["arm", "part"])["estimate"]
    assert steps["single", "total"] == 4
    assert steps["ssl", "total"] == 4 + 2
    assert steps["multi_single", "pretraining"] == 2 * 4
    assert not (tables / "multitask_scores.parquet").exists()


def test_all_figures_of_the_part_are_made(run):
    folder = run / "results/former/figures"
    for figure in FIGURES.values():
        if figure.when == "medformer":
            assert (folder / f"{figure.name}.png").stat().st_size > 1000
    pictures = run / "results/former/medformer/pictures"
    assert len(Reconstructions(pictures / "reconstructions.arrow")) == 6
    assert Occlusions(pictures / "occlusions.arrow").meta["arms"] == ["single", "ssl"]
    assert "ssl − single" in (folder / "medformer_gains.svg").read_text()


def test_the_report_says_what_the_run_has(run):
    page = (run / "results/former/figures/findings.html").read_text()
    assert "one transformer for the pictures and volumes" in page
    assert "atlas" not in page
    report = (run / "results/former/report.html").read_text()
    assert "Medformer, one transformer for pictures and volumes" in report
    assert "atlas of how medical vision tasks relate" not in report


def test_the_run_can_be_kept(run, tmp_path):
    run_page(run / "results/former", tmp_path / "former.md", command="snakemake medformer")
    page = (tmp_path / "former.md").read_text()
    assert "## Arms of Medformer, by set\n" in page
    assert "| multi_single | 50 | kept | macro_auc |" in page


def test_a_second_run_does_nothing(run):
    done = snakemake(run, "all", "--cores", "2", config=run / "former.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr
