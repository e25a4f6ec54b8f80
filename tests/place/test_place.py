"""Pairs of tasks that a run knows, or held out, are placed where its tables place them."""

import json

import numpy as np
import pandas as pd
import pytest
from place.conftest import HELDOUT_TASK, NEW, TASKS

from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.unseen_tasks import unseen_tasks
from medtaskatlas.core.errors import ConfigError, DataError


def rows_of(found, kind):
    return [row for row in found.rows if row["kind"] == kind]


def test_a_known_task_on_a_new_dataset_is_placed_with_its_support_family_and_severity(mine, place):
    found = place(mine("denoising_gaussian"))
    first = rows_of(found, "task")[0]
    assert (first["name"], found.nearest_family) == ("denoising_gaussian", "generative")
    assert first["support"] > 0.9
    shares = [row["share"] for row in rows_of(found, "task")]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert {row["name"] for row in rows_of(found, "task")} == set(TASKS) - {HELDOUT_TASK}
    assert found.inside
    severity = found.severity
    assert 0 <= severity["low"] <= severity["estimate"] <= severity["high"] <= 1
    assert severity["effect"]


def test_a_held_out_task_is_placed_as_the_table_says(run, mine, place, tmp_path):
    found = place(mine(HELDOUT_TASK, n=1000))
    embedding = run / "embeddings" / "pixels" / "seed0.parquet"
    distances, table = tmp_path / "task_distances.parquet", tmp_path / "unseen_tasks.parquet"
    task_distances([embedding], distances, run="small", n_draws=20)
    unseen_tasks([embedding], [], distances, table, run="small", n_draws=20)
    rows = read_table(table, "unseen_tasks", run="small")
    [row] = rows[(rows["level"] == "task") & (rows["split"] == "datasets")].to_dict("records")
    assert row["name"] == HELDOUT_TASK
    first = rows_of(found, "task")[0]
    assert first["name"] == row["nearest_task"]
    assert first["share"] == pytest.approx(row["nearest_share"], abs=1e-6)
    assert found.nearest_family == row["placed_family"]


def test_stronger_noise_is_placed_higher_on_the_ladder(run, mine, place):
    def noisy(sigma):
        def change(before, after):
            rng = np.random.default_rng(int(after.sum()))
            noise = rng.normal(0, sigma, after.shape[:2])[..., None]
            return np.clip(after + noise, 0, 255).astype(np.uint8), after

        return change

    weak = place(mine(change=noisy(12))).severity["estimate"]
    strong = place(mine(change=noisy(45))).severity["estimate"]
    assert strong > weak + 0.15


def test_pairs_unlike_any_task_are_said_to_be_outside(mine, place):
    rng = np.random.default_rng(0)

    def nonsense(before, after):
        stripes = np.where(np.arange(before.shape[0])[:, None] % 4 < 2, 255, 0)
        return before, np.broadcast_to(stripes[..., None], before.shape).astype(np.uint8) ^ (
            rng.random(before.shape) < 0.3
        ).astype(np.uint8) * 255

    found = place(mine(change=nonsense))
    known = place(mine("inversion"))
    assert not found.inside
    assert any("outside of the atlas" in line for line in found.warnings)
    assert known.inside
    assert not any("outside" in line for line in known.warnings)


def test_sources_have_gains_with_intervals_evidence_and_weights(mine, place):
    found = place(mine("denoising_gaussian"))
    sources = rows_of(found, "source")
    assert {row["name"] for row in sources} == set(TASKS)
    assert sources[0]["name"].startswith("denoising")
    gains = [row["gain"] for row in sources]
    assert gains == sorted(gains, reverse=True)
    assert all(row["ci_low"] <= row["gain"] <= row["ci_high"] for row in sources)
    of = {row["name"]: row for row in sources}
    assert of["denoising_gaussian"]["distance"] < of["inversion"]["distance"]
    weights = of["denoising_gaussian"]["weights"]
    assert weights.endswith("transfer/sources/denoising_gaussian/seed0.safetensors")
    evidence = found.evidence["source"]
    assert (evidence["n_targets"], evidence["n_datasets"]) == (len(TASKS), 3)
    assert evidence["coverage"] >= 0.85
    # Tasks trained together were not measured.
    partners = rows_of(found, "partner")
    assert all("gain" not in row and "not measured" in row["note"] for row in partners)
    assert [row["name"] for row in partners] == sorted(
        (row["name"] for row in partners), key=lambda name: of[name]["distance"]
    )
    assert "ranked by distance alone" in found.evidence["partner"]


def test_without_tables_of_transfer_the_rest_is_answered_and_the_target_named(mine, place, copy):
    (copy / "tables" / "transfer_gains.parquet").unlink()
    found = place(mine(), in_run=copy)
    assert "snakemake transfer" in found.evidence["source"]
    assert all("gain" not in row for row in found.rows)
    assert rows_of(found, "source")[0]["name"].startswith("denoising")
    for path in (copy / "transfer" / "kernel").iterdir():
        path.unlink()
    found = place(mine(), in_run=copy)
    assert rows_of(found, "task")
    assert not rows_of(found, "source")
    assert "snakemake transfer" in found.evidence["source"]
    assert any("snakemake transfer" in line for line in found.text)


def test_the_same_seed_gives_the_same_answer(mine, place):
    folder = mine()
    one, other = place(folder), place(folder)
    assert one.rows == other.rows


def test_copies_of_the_runs_own_images_are_said(mine, place):
    found = place(mine("denoising_gaussian", dataset="one"))
    assert {copy["side"] for copy in found.copies} == {"output"}
    assert {copy["dataset"] for copy in found.copies} == {"one"}
    assert any("show images of the run itself" in line for line in found.warnings)

    def unlike(before, after):
        return before // 2 + 20, after // 2 + 20

    assert not place(mine("denoising_gaussian", change=unlike)).copies


def test_few_pairs_are_answered_with_a_warning_and_wider_intervals(mine, place, tmp_path):
    import shutil

    many = place(mine(n=24))
    shutil.rmtree(tmp_path / "mine")
    few = place(mine(n=4))
    assert any("4 pairs: at least 10 are needed" in line for line in few.warnings)
    assert not any("at least 10" in line for line in many.warnings)

    def width(found):
        return np.mean([row["ci_high"] - row["ci_low"] for row in rows_of(found, "source")])

    assert width(few) >= width(many)
    shutil.rmtree(tmp_path / "mine")
    one = place(mine(n=1))
    assert {row["support"] for row in rows_of(one, "task")} == {None}
    assert any("support cannot be estimated" in line for line in one.warnings)
    assert all((row["ci_low"], row["ci_high"]) == (-1, 1) for row in rows_of(one, "source"))


def test_table_json_and_page_say_the_same(mine, place):
    found = place(mine())
    table = pd.read_csv(found.out / "place.csv")
    assert len(table) == len(found.rows)
    assert table.loc[0, "name"] == found.nearest_task
    about = json.loads((found.out / "place.json").read_text())
    assert about["rows"] == found.rows
    page = (found.out / "place.html").read_text()
    assert "denoising gaussian" in page
    assert 'id="payload"' in page


def test_an_answer_is_never_overwritten_silently(mine, place, run, tmp_path):
    from medtaskatlas.place.place import place as answer

    folder = mine()
    place(folder)
    sides = (folder / "input", folder / "output", run)
    with pytest.raises(DataError, match=r"holds an answer(.|\n)*--overwrite"):
        answer(*sides, tmp_path / "placed", say=print)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things than an answer"):
        answer(*sides, tmp_path / "other", overwrite=True, say=print)
    with pytest.raises(DataError, match="lies within"):
        answer(*sides, folder / "input" / "out", say=print)


def test_a_run_that_lacks_something_says_how_to_make_it(mine, place, copy):
    folder = mine()
    with pytest.raises(ConfigError, match=r"no embeddings of 'pixel'(.|\n)*did you mean pixels"):
        place(folder, in_run=copy, encoder="pixel")
    with pytest.raises(DataError, match=r"there is no run .*smal(.|\n)*small"):
        place(folder, in_run=copy.parent / "smal")
    (copy / "embeddings" / "pixels" / "seed0.parquet").unlink()
    with pytest.raises(DataError, match=r"no embeddings(.|\n)*snakemake embeddings"):
        place(folder, in_run=copy)
    (copy / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json is missing(.|\n)*snakemake .*config\.json"):
        place(folder, in_run=copy)


def test_an_encoder_is_chosen_by_validation_pairs_alone(run, monkeypatch):
    from medtaskatlas.place.nearest import Space, naming

    space = Space.read(run / "embeddings" / "pixels" / "seed0.parquet", "small")
    reached = naming(space, 0)
    assert 0 < reached <= 1
    queries = space.frame["role"].isin(["groups", "datasets", "tasks"]).to_numpy()
    space.vectors[queries] = np.nan
    assert naming(space, 0) == reached
    assert NEW in set(space.frame.loc[queries, "dataset"])
