"""A table says how it was made, always in the same words; a trace finds what changed since."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from generated import write_dataset
from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.cli import app
from medtaskatlas.cli.provenance import as_tree
from medtaskatlas.core import code_hash as provenance
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256, write_json
from medtaskatlas.formats.checksums import seal
from medtaskatlas.provenance.stamp import (
    config_sha256,
    file_facts,
    hash_of,
    manifests,
    modules_of,
)
from medtaskatlas.provenance.trace import conditions, trace
from medtaskatlas.run.config import parse_config
from medtaskatlas.snakemake_ext.jobs import job

CONFIG = {"run": "small", "datasets": ["a"], "encoders": {"pixels": {}, "random": {}}}
TABLE = "results/small/tables/identification.parquet"
ENCODERS = ("pixels", "random")


def row(encoder, seed=None, estimate=0.5):
    return {
        "run": "small",
        "encoder": encoder,
        "seed": seed,
        "split": "groups",
        "kind": encoder,
        "role": "baseline",
        "method": "knn",
        "task_subset": "all",
        "measure": "kappa",
        "level": "overall",
        "name": "all",
        "estimate": estimate,
        "note": "no interval: a test",
        "n_pairs": 4,
        "n_images": 4,
        "n_groups": 2,
        "n_subjects": 2,
        "n_datasets": 1,
    }


def script(inputs, *, rule="table_identification", threads=1, log="job.log", config=CONFIG):
    """What Snakemake gives to a script, as far as it is looked at."""
    return SimpleNamespace(
        rule=rule,
        threads=threads,
        log=[log],
        input=inputs,
        params={"run": "small", "seed": 3, "code": "0123", "tasks_dir": "/of/this/machine"},
        config=config,
    )


def make_table(**options):
    """Make the table as a job would, in the working directory."""
    inputs = [f"results/small/predictions/{name}/seed0.parquet" for name in ENCODERS]
    with job(script(inputs, **options)):
        write_table(
            "identification",
            [row("pixels"), row("random", 0), row("random")],
            TABLE,
            {"run": "small"},
        )


def encoded(path, encoder, **facts):
    """A parquet file with facts."""
    text = json.dumps({"encoder": encoder, "seed": 0, "role": "baseline", **facts}).encode()
    table = pa.table({"x": [1.0]}).replace_schema_metadata({b"medtaskatlas": text})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    seal(path)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Folder with the files of a small run, which is the working directory."""
    folder = tmp_path / "results" / "small"
    raw = {"file": "a.png", "bytes": 3, "sha256": "f" * 64, "origin": "https://a/a.png"}
    listed = tmp_path / "data/own/a/MANIFEST.json"
    write_json(listed, {"dataset": "a", "licence": "CC0-1.0", "files": [raw]})
    write_dataset(folder / "images" / "a.arrow", n=6, side=16)
    for name in ENCODERS:
        for stage in ("embeddings", "predictions"):
            known = {"a": sha256(listed)}
            encoded(folder / stage / name / "seed0.parquet", name, manifests=known)
    full = parse_config(CONFIG).model_dump(mode="json")
    (folder / "config.json").write_text(json.dumps(full))
    monkeypatch.chdir(tmp_path)
    make_table()
    return tmp_path


def test_what_a_table_says(run) -> None:
    facts = read_table(TABLE, "identification", run="small").attrs["meta"]["provenance"]
    listed = {"a": sha256("data/own/a/MANIFEST.json")}
    assert facts["rule"] == "table_identification"
    assert facts["seed"] == 3
    assert facts["code"] == "0123"
    assert facts["params"] == {"run": "small", "seed": 3}, "no path of a machine"
    assert facts["config_sha256"] == config_sha256(parse_config(CONFIG).model_dump(mode="json"))
    assert facts["manifests"] == listed
    assert facts["data_sha256"] == hash_of(listed)
    assert {"numpy", "pandas", "python", "torch"} <= set(facts["libraries"])
    assert "medtaskatlas.atlas.identification" in facts["modules"]
    assert "medtaskatlas.provenance.stamp" not in facts["modules"], "would make each table anew"
    for path, recorded in facts["inputs"].items():
        assert recorded["sha256"] == sha256(path)


def test_the_same_job_elsewhere_and_later_makes_the_same_bytes(run, tmp_path, monkeypatch) -> None:
    other = tmp_path / "other"
    shutil.copytree(run / "results", other / "results")
    (other / TABLE).unlink()
    monkeypatch.chdir(other)
    make_table(threads=2, log="other/name.log", config={**CONFIG, "mirror": "/of/that/machine"})
    assert (other / TABLE).read_bytes() == (run / TABLE).read_bytes()
    text = json.dumps(file_facts(TABLE))
    assert str(run) not in text
    assert "machine" not in text


def test_another_configuration_or_input_is_another_table(run) -> None:
    before = (run / TABLE).read_bytes()
    make_table(config={**CONFIG, "seed": 1})
    other = (run / TABLE).read_bytes()
    encoded(run / "results/small/predictions/pixels/seed0.parquet", "pixels")
    make_table()
    assert len({before, other, (run / TABLE).read_bytes()}) == 3


def test_the_order_of_encoders_is_part_of_a_configuration() -> None:
    there, back = ({"encoders": {n: {} for n in names}} for names in (ENCODERS, ENCODERS[::-1]))
    assert config_sha256(there) != config_sha256(back)
    weights = {"encoders": {"clip": {"weights": "/here"}}}
    assert config_sha256(weights) == config_sha256({"encoders": {"clip": {}}})


def test_outside_of_a_job_nothing_is_told(tmp_path) -> None:
    write_table("identification", [row("pixels")], tmp_path / "t.parquet", {"run": "small"})
    assert file_facts(tmp_path / "t.parquet") == {"table": "identification", "run": "small"}


def test_every_table_is_known_by_modules_that_there_are() -> None:
    for table in TABLES.values():
        behind = provenance.modules_behind(*modules_of(f"table_{table.name}"))
        assert "medtaskatlas.atlas.tables" in behind
        assert "medtaskatlas.atlas.registry" not in behind, "a new table would make all others anew"


def test_a_trace_of_an_untouched_run_finds_nothing_changed(run) -> None:
    found = trace(TABLE)
    text = as_tree(found)
    assert {entry["state"] for entry in found["inputs"]} == {"same"}
    assert found["config"]["state"] == "same"
    assert not found["code"]["changed"]
    assert not found["libraries"]["differ_here"]
    assert found["data"][0]["manifest"] == {"path": "data/own/a/MANIFEST.json", "state": "same"}
    assert found["inputs"][0]["from"][0]["path"] == "results/small/embeddings/pixels/seed0.parquet"
    assert "a.png ffffffffffff from https://a/a.png" in text
    assert "CC0-1.0" in text
    assert "results/small/config.json: unchanged" in text


def test_a_trace_says_what_changed_since(run, monkeypatch) -> None:
    folder = run / "results/small"
    (folder / "predictions/pixels/seed0.parquet").unlink()
    encoded(folder / "predictions/random/seed0.parquet", "random", role="model")
    (folder / "config.json").write_text("{}")
    (run / "data/own/a/MANIFEST.json").write_text('{"dataset": "a"}')
    real = provenance.module_hash
    edited = "medtaskatlas.atlas.counts"
    monkeypatch.setattr(provenance, "module_hash", lambda m: "new" if m == edited else real(m))
    found = trace(TABLE)
    states = {entry["path"].split("/")[3]: entry["state"] for entry in found["inputs"]}
    assert states == {"pixels": "gone", "random": "changed"}
    assert found["config"]["state"] == "changed"
    assert found["code"]["changed"] == [edited]
    assert found["data"][0]["manifest"]["state"] == "changed"
    # The images of this fixture were made of another list from the beginning.
    assert found["data"][0]["images"]["state"] == "changed"
    assert as_tree(found).count("CHANGED since") == 5


def test_sizes_alone_are_compared_where_that_is_asked_for(run) -> None:
    path = run / "results/small/predictions/pixels/seed0.parquet"
    content = path.read_bytes()
    # The magic of parquet and its footer stay; a value changes.
    path.write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    assert trace(TABLE)["inputs"][0]["state"] == "changed"
    found = trace(TABLE, quick=True)
    assert found["inputs"][0]["state"] == "same size"
    assert "of the same size" in as_tree(found)


def test_a_number_has_the_inputs_of_its_encoder(run) -> None:
    found = trace(TABLE, where={"encoder": "pixels"})
    assert [entry["path"].split("/")[3] for entry in found["inputs"]] == ["pixels"]
    assert [r["estimate"] for r in found["rows"]] == [0.5]
    assert trace(TABLE, row=1)["rows"][0]["encoder"] == "random"


def test_an_adjusted_p_has_all_inputs(run) -> None:
    table = pq.read_table(TABLE)
    adjusted = pa.array([0.2, None, None])
    pq.write_table(table.append_column("p_adjusted", adjusted), TABLE)
    seal(Path(TABLE))
    found = trace(TABLE, row=0)
    assert len(found["inputs"]) == 2
    assert "all inputs count" in as_tree(found)
    assert len(trace(TABLE, row=1)["inputs"]) == 1, "this row has none"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"row": 3}, "no row 3"),
        ({"where": {"encodr": "pixels"}}, "did you mean encoder"),
        ({"where": {"encoder": "clip"}}, "it has pixels, random"),
    ],
)
def test_rows_that_are_not_there(run, options, told) -> None:
    with pytest.raises(DataError, match=told):
        trace(TABLE, **options)


def test_files_that_are_no_table_of_ours(run, tmp_path) -> None:
    with pytest.raises(DataError, match="is missing"):
        trace(tmp_path / "none.parquet")
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="is no table"):
        trace(tmp_path / "t.csv")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="was not written by medtaskatlas"):
        trace(tmp_path / "foreign.parquet")
    write_table("identification", [row("pixels")], tmp_path / "old.parquet", {"run": "small"})
    with pytest.raises(DataError, match="does not say how it was made") as old:
        trace(tmp_path / "old.parquet")
    assert "start the run again" in old.value.remedy
    facts = {"run": "small", "provenance": {"format": 9, "package": "7.0"}}
    write_table("identification", [row("pixels")], tmp_path / "new.parquet", facts)
    with pytest.raises(DataError, match="format 9, this version reads 1"):
        trace(tmp_path / "new.parquet")


def test_manifests_are_found_through_all_stages(run) -> None:
    known = {"a": sha256("data/own/a/MANIFEST.json")}
    assert manifests(["results/small/embeddings/pixels/seed0.parquet"]) == known
    assert manifests([TABLE]) == known
    assert set(manifests(["results/small/images/a.arrow"])) == {"a"}
    assert manifests(["results/small/config.json"]) == {}


def test_raw_data_that_a_table_does_not_know_are_named_by_what_learned_from_them(run) -> None:
    for name in ENCODERS:
        path = run / "results/small/predictions" / name / "seed0.parquet"
        encoded(path, name, trained_datasets=["a"])
    make_table()
    found = trace(TABLE)
    assert found["data_sha256"] is None
    assert [entry["dataset"] for entry in found["data"]] == ["a"]
    assert found["data"][0]["manifest"]["path"] == "data/own/a/MANIFEST.json"
    assert "lists of files are not in the table" in as_tree(found)


def test_conditions_as_they_are_typed() -> None:
    assert conditions("encoder=taco, measure=kappa") == {"encoder": "taco", "measure": "kappa"}
    assert conditions(None) == {}
    with pytest.raises(DataError, match="'kappa' is no condition"):
        conditions("encoder=taco,kappa")


def test_the_command(run) -> None:
    shown = CliRunner().invoke(app, ["provenance", TABLE, "--where", "encoder=pixels"])
    assert shown.exit_code == 0
    assert shown.output.startswith(f"{TABLE}  (table identification of run small)\n├─ 1 row\n")
    found = CliRunner().invoke(app, ["provenance", TABLE, "--json", "--row", "0"])
    assert json.loads(found.output)["rule"] == "table_identification"
