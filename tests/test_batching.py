"""Many cells in one job: each once, of one dataset, the same files, no good cell thrown away."""

import logging

import pytest

from generated import SPLITS, write_dataset
from medtaskatlas.core.errors import DataError, TaskError
from medtaskatlas.formats.pairs import SETS
from medtaskatlas.pairs import batch as batch_module
from medtaskatlas.pairs.batch import make_batch
from medtaskatlas.pairs.failed_cells import failed_cells
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.run.batching import CLUSTER_CELLS_PER_JOB, batches, cells_per_job
from medtaskatlas.tasks.bank import load_bank

BANK = load_bank()
TASKS = ["rotation", "segmentation", "inversion"]
AMOUNTS = {"pairs": 6, "failures": 4, "trajectories": 1, "levels": 11}


def cell(**changes):
    """What the pairs of a cell depend on, set by set."""
    params = {"amounts": AMOUNTS, "splits": SPLITS, "heldout": False, "seed": 0}
    return {key: {**params, "code": "0", **changes} for key in SETS}


def outs(folder, tasks=TASKS):
    return [folder / "pairs" / s / t / "toy.arrow" for s in SETS for t in tasks]


def run(folder, cells):
    make_batch(
        folder / "toy.arrow",
        outs(folder, list(cells)),
        bank=BANK,
        cells=cells,
        logs=folder / "logs" / "pairs",
    )


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "toy.arrow")
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """Tasks whose pairs were made, in order; one that is named broken breaks."""
    names, broken = [], {}

    def spy(images, task, *arguments, **options):
        if task.name not in names:
            names.append(task.name)
        if task.name in broken:
            raise broken[task.name]
        make_sets(images, task, *arguments, **options)

    monkeypatch.setattr(batch_module, "make_sets", spy)
    return names, broken


@pytest.mark.parametrize("size", [1, 4, 7, 30])
def test_every_cell_is_in_one_job_of_one_dataset(size) -> None:
    cells = [(f"t{t}", f"d{d}") for t in range(10) for d in range(5) if (t + d) % 4]
    found = [
        (task, dataset)
        for batch in batches([*cells, *cells[:3]], size)
        for dataset in batch.datasets
        for task in batch.tasks
    ]
    assert sorted(found) == sorted(cells)
    shares = batches(cells, size)
    assert max(len(b.tasks) for b in shares) <= size
    assert len({b.name for b in shares}) == len(shares)
    for dataset in {d for _, d in cells}:
        sizes = [len(b.tasks) for b in shares if dataset in b.datasets]
        assert max(sizes) - min(sizes) <= 1, "jobs of one dataset are alike"


def test_datasets_with_the_same_tasks_share_a_rule() -> None:
    cells = [(f"t{t}", f"d{d}") for t in range(30) for d in range(40)]
    (whole,) = batches(cells, CLUSTER_CELLS_PER_JOB)
    assert len(whole.datasets) == 40
    assert len(whole.tasks) == 30


def test_where_jobs_are_sent_decides_unless_the_configuration_does() -> None:
    assert cells_per_job(None, on_cluster=False) == 1
    assert cells_per_job(None, on_cluster=True) == CLUSTER_CELLS_PER_JOB
    assert cells_per_job(7, on_cluster=True) == cells_per_job(7, on_cluster=False) == 7


def test_a_batch_makes_the_files_of_its_cells_and_leaves_nothing_else(folder, tmp_path) -> None:
    run(folder, {task: cell() for task in TASKS})
    amounts = Amounts(**AMOUNTS)
    for task in TASKS:
        alone = {s: tmp_path / "alone" / s / task / "toy.arrow" for s in SETS}
        make_sets(folder / "toy.arrow", BANK[task], alone, amounts=amounts, splits=SPLITS, seed=0)
        for set_name, path in alone.items():
            together = folder / "pairs" / set_name / task / "toy.arrow"
            assert together.read_bytes() == path.read_bytes(), (set_name, task)
    assert sorted(p for p in (folder / "pairs").rglob("*") if p.is_file()) == sorted(outs(folder))


def test_one_bad_cell_is_named_and_costs_no_other(folder, made) -> None:
    names, broken = made
    cells = {task: cell() for task in TASKS}
    broken["segmentation"] = TaskError("segmentation broke on toy", "mend it")
    with pytest.raises(DataError) as caught:
        run(folder, cells)
    assert (
        caught.value.problem
        == "1 of 3 tasks failed on toy: segmentation: segmentation broke on toy"
    )
    assert names == TASKS, "those behind it are made"
    assert not any(path.exists() for path in outs(folder)), "no output of a failed job"
    told = failed_cells(folder, [(task, "toy") for task in TASKS])
    assert told[1:] == ["failed: pairs of segmentation on toy: segmentation broke on toy"]
    broken.clear()
    names.clear()
    run(folder, cells)
    assert names == ["segmentation"], "the others were kept"
    assert all(path.exists() for path in outs(folder))
    assert not list((folder / "pairs").rglob(".*"))


def test_a_bug_in_a_task_is_logged_whole_and_costs_no_other(folder, made) -> None:
    names, broken = made
    broken["rotation"] = ZeroDivisionError("oh")
    with pytest.raises(DataError, match="rotation: ZeroDivisionError: oh"):
        run(folder, {task: cell() for task in TASKS})
    assert names == TASKS
    assert "Traceback" in (folder / "logs/pairs/rotation/toy.log").read_text()
    assert not (folder / "logs/pairs/inversion/toy.log").read_text()


@pytest.mark.parametrize("change", ["code", "seed", "images"])
def test_what_was_made_from_something_else_is_not_taken(folder, made, change) -> None:
    names, broken = made
    broken["inversion"] = TaskError("no", "")
    with pytest.raises(DataError):
        run(folder, {task: cell() for task in TASKS})
    broken.clear()
    names.clear()
    if change == "images":
        write_dataset(folder / "toy.arrow", seed=1)
    changed = {"code": {"code": "1"}, "seed": {"seed": 1}, "images": {}}[change]
    run(folder, {task: cell(**changed) for task in TASKS})
    assert names == TASKS
    assert not list((folder / "pairs").rglob(".*")), "what is out of date is swept"


def test_a_batch_that_is_stopped_goes_on(folder, made) -> None:
    names, broken = made
    cells = {task: cell() for task in TASKS}
    broken["inversion"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(folder, cells)
    broken.clear()
    names.clear()
    run(folder, cells)
    assert names == ["inversion"]


def test_logs_of_cells_end_with_them(folder) -> None:
    before = list(logging.getLogger().handlers)
    run(folder, {"inversion": cell()})
    assert logging.getLogger().handlers == before
