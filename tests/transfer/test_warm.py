"""Warm starts: what is learned, that all starts see the same, and what comes of it in the table."""

import numpy as np
import pytest
import torch

from generated import SPLITS, make_pairs, smooth_image, write_dataset
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.gains import transfer_gains
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.formats.parquet import read_parquet, write_parquet
from medtaskatlas.run.transfer import plan_transfer
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer import warm
from medtaskatlas.transfer.options import (
    SCRATCH,
    SHUFFLED,
    UNTRAINED,
    Affinity,
    SharedFeatures,
    Transfer,
    WarmStarts,
)
from medtaskatlas.transfer.warm import load_source, start_from_sources, train_source

TASKS = ("inversion", "deblurring")
FAMILIES = {"inversion": "transformation", "deblurring": "generative"}
OPTIONS = WarmStarts(
    width=4, source_steps=60, steps=12, pairs=4, asked_pairs=8, batch_size=4, learning_rate=0.01
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images and pairs of two tasks on three datasets, the last of which no source sees."""
    folder = tmp_path_factory.mktemp("warm")
    images = [
        write_dataset(folder / "images" / f"{name}.arrow", n=24, seed=seed, groups=12)
        for seed, name in enumerate(("one", "two", "held"))
    ]
    paths = {}
    for task in TASKS:
        paths[task] = []
        for image in images:
            out = folder / "pairs" / task / image.name
            make_pairs(image, load_bank()[task], out, pairs_per_cell=24, splits=SPLITS, seed=0)
            paths[task].append(out)
    return folder, images, paths


@pytest.fixture(scope="module")
def run(files):
    """Sources of both tasks and the control, and the warm starts of inversion, two seeds."""
    folder, images, paths = files
    for name in (*TASKS, SHUFFLED):
        cells = [p for t in TASKS for p in paths[t][:2]] if name == SHUFFLED else paths[name][:2]
        for seed in (0, 1):
            train_source(
                cells, images[:2], folder / "sources" / name / f"seed{seed}.safetensors",
                run="r", task=name, options=OPTIONS, seed=seed,
                checkpoint=folder / "state.safetensors", threads=1,
            )  # fmt: skip
    outs = []
    for seed in (0, 1):
        sources = [
            folder / "sources" / name / f"seed{seed}.safetensors" for name in (*TASKS, SHUFFLED)
        ]
        outs.append(folder / "warm" / "inversion" / f"seed{seed}.parquet")
        start_from_sources(
            sources, paths["inversion"][1:], images[1:], outs[-1], run="r", options=OPTIONS,
            seed=seed, split_seed=0, state=folder / "warm.safetensors", threads=1,
        )  # fmt: skip
    return folder, outs


@pytest.fixture(scope="module")
def table(run):
    out = run[0] / "transfer_gains.parquet"
    transfer_gains(run[1], out, run="r", families=FAMILIES, heldout_datasets=["held"], n_draws=200)
    return read_table(out, "transfer_gains", run="r")


def test_every_start_is_asked_about_the_same_test_pairs(run, files):
    frame, facts = read_parquet(run[1][0])
    frame = frame.to_pandas()
    assert facts["seed"] == 0
    assert set(frame["source"]) == {SCRATCH, UNTRAINED, SHUFFLED, *TASKS}
    assert set(frame["dataset"]) == {"two", "held"}
    asked = frame.groupby(["source", "start", "dataset"])["pair_id"].apply(tuple)
    for _, of in asked.groupby("dataset"):
        assert of.nunique() == 1
    assert frame.groupby(["source", "dataset", "start"]).size().nunique() == 1
    assert set(frame.loc[frame["source"] == SCRATCH, "start"]) == {0, 1, 2}
    assert np.isfinite(frame[["error", "error_before"]]).all(axis=None)
    assert not (run[0] / "warm.safetensors").exists()


def test_the_task_itself_is_the_best_start_and_controls_are_none(table):
    by = table[table["seed"].isna()].set_index(["dataset", "source"])
    for dataset in ("all", "two", "held"):
        itself = by.loc[(dataset, "inversion"), "estimate"]
        assert itself > 0.3
        others = by.loc[dataset].drop("inversion")["estimate"]
        assert itself > others.max()
    assert by.loc[("all", "inversion"), "source_role"] == "itself"
    assert by.loc[("all", UNTRAINED), "source_role"] == "untrained"
    assert by.loc[("all", SHUFFLED), "source_role"] == "shuffled"
    assert abs(by.loc[("all", UNTRAINED), "estimate"]) < 0.3
    assert bool(by.loc[("two", "inversion"), "dataset_trained"])
    assert not bool(by.loc[("held", "inversion"), "dataset_trained"])


def test_the_gain_is_that_by_hand(run, table):
    frames = [read_parquet(path)[0].to_pandas() for path in run[1]]
    gains = []
    for dataset in ("two", "held"):
        mean = [f[f["dataset"] == dataset].groupby("source")["error"].mean() for f in frames]
        both = sum(mean) / 2
        gains.append(1 - both["deblurring"] / both[SCRATCH])
    by = table[table["seed"].isna()].set_index(["dataset", "source"])["estimate"]
    assert by["two", "deblurring"] == pytest.approx(max(gains[0], -1))
    assert by["all", "deblurring"] == pytest.approx(np.mean(np.clip(gains, -1, 1)))
    assert set(table["seed"].dropna()) == {0, 1}


def test_a_source_is_resumable_reproducible_and_loads_with_one_call(run, files, tmp_path):
    folder, images, paths = files
    again = tmp_path / "inversion" / "seed0.safetensors"
    train_source(
        paths["inversion"][:2], images[:2], again, run="r", task="inversion", options=OPTIONS,
        seed=0, checkpoint=tmp_path / "state", threads=1,
    )  # fmt: skip
    first = folder / "sources" / "inversion" / "seed0.safetensors"
    network, other = load_source(first), load_source(again)
    pixels = np.stack([smooth_image(np.random.default_rng(0), 32, 32, True)])
    picture = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), other(picture))
        assert float((network(picture) - (1 - picture)).square().mean()) < 0.06


@pytest.mark.parametrize("frozen", [False, True])
def test_shared_features_are_an_encoder_with_one_new_decoder(run, frozen):
    paths = {name: run[0] / "sources" / name / "seed0.safetensors" for name in TASKS}
    options = SharedFeatures(frozen=frozen, width=OPTIONS.width, skips=True)
    made = {name: warm._start(options, 0, name, 0, paths) for name in (*TASKS, SCRATCH, UNTRAINED)}
    decoders = [network.decoder.state_dict() for network in made.values()]
    for name, value in decoders[0].items():
        assert all(torch.equal(value, other[name]) for other in decoders[1:])
    source = load_source(paths["inversion"])
    for name, value in source.encoder.state_dict().items():
        assert torch.equal(value, made["inversion"].encoder.state_dict()[name])
    assert not torch.equal(source.decoder.out.weight, made["inversion"].decoder.out.weight)
    learning = {
        name: any(p.requires_grad for p in n.encoder.parameters()) for name, n in made.items()
    }
    # From scratch an encoder has to learn: only those that are taken over may stay as they are.
    assert learning == dict.fromkeys(made, not frozen) | {SCRATCH: True}


def test_a_frozen_encoder_stays_and_starts_go_on_where_they_were_cut(
    run, files, tmp_path, monkeypatch
):
    _, images, paths = files
    sources = [run[0] / "sources" / name / "seed0.safetensors" for name in (*TASKS, SHUFFLED)]
    options = SharedFeatures(frozen=True, width=4, skips=True, steps=1, pairs=4, asked_pairs=4)
    fit, begun, seen = warm.fit, [], []

    def cut_off(objective, *args, **more):
        begun.append(more["title"])
        if len(begun) == 6:
            raise SystemExit(143)
        before = objective.model.encoder[0][0].weight.clone()
        done = fit(objective, *args, **more)
        seen.append(torch.equal(before, objective.model.encoder[0][0].weight))
        return done

    def start(out):
        start_from_sources(
            sources, paths["inversion"][2:], images[2:], out, run="r", options=options, seed=0,
            split_seed=0, state=tmp_path / "state.safetensors", threads=1,
        )  # fmt: skip
        return read_parquet(out)

    monkeypatch.setattr(warm, "fit", cut_off)
    with pytest.raises(SystemExit):
        start(tmp_path / "out.parquet")
    resumed, facts = start(tmp_path / "out.parquet")
    # Three starts from scratch, another untrained one, two tasks and the control.
    assert len(begun) == 6 + 2
    assert seen == [False] * 3 + [True] * 4
    assert facts["protocol"] == "shared"
    assert resumed.equals(start(tmp_path / "whole.parquet")[0])
    assert not list(tmp_path.glob("state*"))
    out = tmp_path / "transfer_gains.parquet"
    transfer_gains([*run[1], tmp_path / "out.parquet"], out, run="r", families=FAMILIES, n_draws=50)
    table = read_table(out, "transfer_gains", run="r")
    assert set(table["protocol"]) == {"warm", "shared"}


def test_what_does_not_fit_is_named(run, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.safetensors holds no network of a task"):
        load_source(broken)
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        transfer_gains(run[1], tmp_path / "t.parquet", run="other", families=FAMILIES)
    table, facts = read_parquet(run[1][1])
    frame = table.to_pandas()
    frame.loc[frame["source"] == "deblurring", "pair_id"] += "x"
    path = tmp_path / "seed1.parquet"
    write_parquet(path, type(table).from_pandas(frame, preserve_index=False), facts)
    with pytest.raises(DataError, match="asked about other pairs"):
        transfer_gains([run[1][0], path], tmp_path / "t.parquet", run="r", families=FAMILIES)
    with pytest.raises(DataError, match="inversion has no pair of a training group"):
        train_source(
            [], [], tmp_path / "s.safetensors", run="r", task="inversion", options=OPTIONS, seed=0,
            checkpoint=tmp_path / "state", threads=1,
        )  # fmt: skip


CELLS = [(t, d) for d in ("a", "b", "c", "held") for t in ("x", "y") if (t, d) != ("y", "a")]


KINDS = {"x": "semantic", "y": "generative"}


def test_targets_share_datasets_and_some_are_held_out():
    trained = [cell for cell in CELLS if cell[1] != "held"]
    plan = plan_transfer(Transfer(warm=WarmStarts()), KINDS, CELLS, trained)
    assert plan.measured["warm"].sources == ["x", "y"]
    assert plan.measured["warm"].targets == {"x": ["b", "c", "held"], "y": ["b", "c", "held"]}
    assert plan.source_runs == [("sources", name, 0) for name in ("x", "y", SHUFFLED)]
    one = plan_transfer(Transfer(warm=WarmStarts(datasets=["a"])), KINDS, CELLS, trained)
    assert one.measured["warm"].targets == {"x": ["a"]}
    assert one.messages == ["transfer: no dataset to ask y on"]
    assert plan_transfer(Transfer(), {"x": "semantic"}, CELLS, trained).source_runs == []


def test_equal_sources_are_trained_once():
    def folders(**shared):
        section = Transfer(warm=WarmStarts(tasks=["x"]), shared=SharedFeatures(**shared))
        return plan_transfer(section, KINDS, CELLS, CELLS)

    other = folders()
    assert [other.folder(name) for name in ("warm", "shared")] == ["sources", "shared_sources"]
    assert other.sources_in("sources") == ["x", SHUFFLED]
    same = folders(**WarmStarts().source_params(), seeds=[0, 1])
    assert {same.folder(name) for name in ("warm", "shared")} == {"sources"}
    assert same.sources_in("sources") == ["x", "y", SHUFFLED]
    # The source x of seed 0 is of both.
    assert len(same.source_runs) == len(set(same.source_runs)) == 6


def test_so_many_tasks_are_of_all_families():
    families = {"s1": "semantic", "s2": "semantic", "g1": "generative", "g2": "generative"}
    cells = [(task, "a") for task in families if task != "s1"]
    section = Transfer(affinity=Affinity(tasks=2, datasets=1, seeds=[0, 1]))
    plan = plan_transfer(section, families, cells, cells)
    assert list(plan.measured["affinity"].targets) == ["s2", "g1"]
    assert plan.affinity_runs == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("protocol", ["warm", "shared", "affinity"])
@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"tasks": ["z"]}, [".tasks: 'z'", "x"]),
        ({"datasets": ["elsewhere"]}, [".datasets: 'elsewhere'"]),
        ({"tasks": ["y"], "datasets": ["a"]}, [": no target has a dataset"]),
    ],
)
def test_names_that_a_run_lacks_are_told(protocol, given, parts):
    with pytest.raises(ConfigError) as caught:
        plan_transfer(Transfer.model_validate({protocol: given}), KINDS, CELLS, CELLS)
    assert f"transfer.{protocol}{parts[0]}" in str(caught.value)
    assert all(part in str(caught.value) for part in parts)
