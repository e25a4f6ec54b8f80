"""Studies, failures and trajectories, for real: trainings of their own, and tables of them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from medtaskatlas.atlas.tables import conform, read_table
from medtaskatlas.formats.arrow import META_KEY
from runs import SMOKE, due_jobs, snakemake

pytestmark = pytest.mark.system

TABLES = ["unseen_tasks", "scaling", "failures", "trajectories"]
RESULTS = Path("results/studies")
TARGETS = [*(RESULTS / "tables" / f"{name}.parquet" for name in TABLES), RESULTS / "atlas.html"]
HELD = "cell_light"
FOLDS = 2


def studies_config(folder: Path) -> Path:
    """The smoke configuration with both studies, and less of everything else."""
    config = yaml.safe_load(SMOKE.read_text()) | {
        "run": "studies",
        "datasets": ["ct_dicom", "us_stills", HELD],
        "heldout": {"datasets": [HELD]},
        "failures_per_cell": 8,
        "trajectories_per_cell": 2,
        "seeds": [0],
        "unseen_tasks": {"encoders": ["taco"], "folds": FOLDS, "steps": 3},
        "scaling": {"encoder": "taco", "pairs": [5], "steps": 3},
    }
    config["encoders"] = {
        "taco": config["encoders"]["taco"] | {"steps": 5},
        "variant": {"like": "taco", "fusion": "correspondence", "steps": 2, "ablation": True},
        "pixels": {},
    }
    path = folder / "studies.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder and configuration of a finished run, made with two cores."""
    folder = tmp_path_factory.mktemp("studies")
    config = studies_config(folder)
    snakemake(folder, *TARGETS, "--cores", "2", config=config)
    return folder, config


def tasks_of(config: Path) -> set[str]:
    return set(yaml.safe_load(config.read_text())["tasks"])


def trained(folder: Path, pattern: str) -> dict[str, dict]:
    """What config.json says of the trainings that match a pattern, by folder."""
    files = sorted((folder / RESULTS).glob(f"{pattern}/config.json"))
    return {
        str(file.parent.relative_to(folder / RESULTS)): json.loads(file.read_text())
        for file in files
    }


@pytest.mark.parametrize("name", TABLES)
def test_tables_conform_and_say_how_they_were_made(run, name) -> None:
    frame = read_table(run[0] / RESULTS / "tables" / f"{name}.parquet", name, run="studies")
    assert len(frame)
    assert frame["estimate"].notna().any()
    pd.testing.assert_frame_equal(conform(name, frame), frame, check_exact=True)
    assert (frame["run"] == "studies").all()


def test_no_fold_learned_its_own_tasks_and_every_task_is_in_one(run) -> None:
    folder, config = run
    every = tasks_of(config)
    folds = trained(folder, "studies/unseen_tasks/*")
    assert list(folds) == [f"studies/unseen_tasks/taco_fold{i}" for i in range(FOLDS)]
    left_out = [every - set(fold["tasks"]) for fold in folds.values()]
    assert set().union(*left_out) == every
    assert all(not one & other for one, other in combinations(left_out, 2))
    assert all(fold["encoder"]["steps"] == 3 for fold in folds.values())
    for key, fold in folds.items():
        # Embedded all the same, and the file says what was learned.
        path = folder / RESULTS / f"{key}/embeddings.parquet"
        assert set(pd.read_parquet(path, columns=["task"])["task"]) == every
        facts = json.loads(pq.read_schema(path).metadata[META_KEY])
        assert facts["trained_tasks"] == fold["tasks"] == sorted(every - left_out[int(key[-1])])


def test_unseen_tasks_are_placed_among_others(run) -> None:
    folder, config = run
    path = folder / RESULTS / "tables/unseen_tasks.parquet"
    frame = read_table(path, "unseen_tasks")
    assert set(frame["encoder"]) == {"taco", "pixels"}
    each = frame[frame["level"] == "task"]
    asked = each[(each["encoder"] == "taco") & (each["split"] == "datasets")]
    assert set(asked["name"]) == tasks_of(config)
    assert (each["nearest_task"] != each["name"]).all()


def test_nothing_was_trained_on_what_is_held_out(run) -> None:
    folder, config = run
    whole = trained(folder, "encoders/*/*")
    assert set(whole) == {"encoders/taco/seed0", "encoders/variant/seed0"}
    assert all(set(one["tasks"]) == tasks_of(config) for one in whole.values())
    points = trained(folder, "studies/*/*")
    assert len(points) == FOLDS + 2
    for one in (*whole.values(), *points.values()):
        assert one["datasets"] == ["ct_dicom", "us_stills"]


def test_a_variant_takes_the_options_of_what_it_is_like(run) -> None:
    whole = trained(run[0], "encoders/*/*")
    taco, variant = (whole[f"encoders/{name}/seed0"] for name in ("taco", "variant"))
    changed = {k for k, v in taco["encoder"].items() if variant["encoder"][k] != v}
    assert changed == {"fusion", "steps", "ablation"}
    assert (taco["role"], variant["role"]) == ("model", "ablation")


def test_scaling_learned_from_less(run) -> None:
    points = trained(run[0], "studies/scaling/*")
    few, full = (points[f"studies/scaling/datasets2_pairs{n}_seed0"] for n in ("5", "all"))
    assert 0 < few["n_pairs"] < full["n_pairs"]
    frame = read_table(run[0] / RESULTS / "tables/scaling.parquet", "scaling")
    measured = frame[frame["measure"] == "balanced_accuracy"]
    for _, rows in measured.groupby("split"):
        assert list(rows.sort_values("train_pairs")["axis"]) == ["pairs", "all"]
    slope = frame[frame["measure"] == "gain_per_doubling"].set_index(["split", "axis"])
    assert slope["estimate"].xs("pairs", level="axis").notna().all()
    # One number of datasets has no slope.
    assert slope["estimate"].xs("datasets", level="axis").isna().all()


def test_failures_and_trajectories_are_of_models_and_baselines(run) -> None:
    tables = run[0] / RESULTS / "tables"
    failures = read_table(tables / "failures.parquet", "failures")
    assert set(failures["encoder"]) == {"taco", "pixels"}
    trajectories = read_table(tables / "trajectories.parquet", "trajectories")
    assert set(trajectories["encoder"]) == {"taco", "pixels", "raw_pixels"}
    # Made for its trajectories alone.
    assert "noise_addition" in set(trajectories["task"])
    assert "noise_addition" not in set(failures["task"])


def test_the_interactive_atlas_has_every_encoder(run) -> None:
    page = (run[0] / RESULTS / "atlas.html").read_text()
    for name in ("taco", "variant", "pixels"):
        assert f'"{name}"' in page


def test_a_second_call_does_nothing(run) -> None:
    folder, config = run
    done = snakemake(folder, *TARGETS, "--cores", "2", config=config)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_other_folds_train_no_main_encoder_anew(run) -> None:
    folder, config = run
    arguments = ("--dry-run", "--quiet", "rules", "--config", "unseen_tasks={folds: 3}")
    done = snakemake(folder, *TARGETS, *arguments, config=config)
    due = due_jobs(done.stdout)
    assert due["train_point"] == due["embed_point"] == 3, done.stdout
    assert due["table_unseen_tasks"] == 1
    assert due.keys() <= {"train_point", "embed_point", "table_unseen_tasks"}, done.stdout
