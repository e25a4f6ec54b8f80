"""What every command says: of what it did, and of what a user mistyped or damaged."""

from __future__ import annotations

import sys

import pytest

from folders import flat
from medtaskatlas import __version__
from medtaskatlas.cli import main
from medtaskatlas.core.errors import nearest
from medtaskatlas.tasks.task import REGISTRY


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder: its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    known = dict(REGISTRY)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["medtaskatlas", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out + shown.err

    yield run
    REGISTRY.clear()
    REGISTRY.update(known)


@pytest.fixture
def place(tmp_path):
    """A folder with two runs, files of configuration, and things that are none."""
    for run, part in (("first", "config.json"), ("second", "tables/summary.parquet")):
        (tmp_path / "results" / run / part).parent.mkdir(parents=True)
        (tmp_path / "results" / run / part).write_text("{")
    (tmp_path / "results" / "no_run").mkdir()
    (tmp_path / "config").mkdir()
    for name in ("embedded.yaml", "smoke.yaml"):
        (tmp_path / "config" / name).write_text("run: a\n")
    (tmp_path / "broken.yaml").write_text("run: a\ndatasets: [a\ntasks: all\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "latin.yaml").write_bytes(b"run: \xe4\xff\n")
    (tmp_path / "rates.json").write_text('{\n "rates": }\n')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "task_of_mine.py").write_text("x = 1\n")
    flat(tmp_path / "sets" / "one", n=1)
    (tmp_path / "sets" / "two").mkdir()
    (tmp_path / "sets" / "two" / "dataset.yaml").write_text("name: two\ntitle: a: b\n")
    (tmp_path / "sets" / "three" / "images").mkdir(parents=True)
    return tmp_path


RUNS = ["there is no run results/frst", "did you mean first?", "first, second"]
SAID = [
    # Filters, each with the nearest valid value.
    ("datasets --modality MRI", ["--modality", "'MRI'", "did you mean MR", "Type"]),
    ("datasets --modality mr", ["'mr'", "did you mean MR?"]),
    ("datasets --modality MR --modality ultrasound", ["'ultrasound'", "valid names: CT,", "US"]),
    ("datasets --needs masks", ["--needs", "'masks'", "did you mean mask"]),
    ("datasets --source embeded", ["--source", "'embeded'", "did you mean embedded"]),
    ("datasets --annotation groundtruth", ["'groundtruth'", "did you mean ground_truth"]),
    ("datasets --licence cc-by", ["--licence", "'cc-by'", "CC-BY-4.0"]),
    ("tasks --family semantc", ["--family", "'semantc'", "did you mean semantic?"]),
    # Files and folders.
    ("datasets --datasets-dir set", ["there is no folder set", "did you mean sets"]),
    ("datasets --datasets-dir sets", ["sets/two/dataset.yaml", "line 2, column 9"]),
    ("datasets check set", ["there is no folder set", "did you mean sets"]),
    (
        "datasets check no/such/set",
        ["there is no folder no/such/set", "there is no folder no/such"],
    ),
    ("datasets check sets/one/dataset.yaml", ["is a file, not a folder", "sets/one"]),
    ("datasets check sets/two", ["dataset.yaml", "is not YAML: line 2, column 9"]),
    ("datasets check sets/three", ["dataset.yaml", "datasets init sets/three"]),
    ("datasets init sets/four", ["there is no folder sets/four", "one, three, two"]),
    ("datasets init sets/one", ["dataset.yaml is there already", "edit it"]),
    ("datasets init sets/three", ["sets/three holds no image", "images/"]),
    ("tasks --tasks-dir min", ["tasks_dir: min is no folder"]),
    ("tasks --tasks-dir mine/task_of_mine.py", ["is no folder", "e.g. mine"]),
    ("tasks check mine", ["is a folder", "medtaskatlas tasks check mine/task_of_mine.py"]),
    ("tasks check mine/task_of_min.py", ["is missing", "did you mean task_of_mine.py?"]),
    ("tasks check config/smoke.yaml", ["smoke.yaml is no Python file", "call it *.py"]),
    # Runs.
    ("replay main/rotation/a/1 --run results/frst", RUNS),
    ("replay main/rotation/a/1 --run results/first", ["results/first/pairs/main", "'rotation'"]),
    ("replay mian/rotation/a/1", ["'mian/rotation/a/1'", "did you mean main?", "e.g. main/"]),
    ("replay main/rotation/a", ["is no pair_id", "<set>/<task>/<dataset>/<number>"]),
    ("keep frst", RUNS),
    ("keep results/frst", RUNS),
    ("keep first", ["results/first lacks the tables summary", "finish the run"]),
    ("plan --measure results/frst", RUNS),
    ("plan --measure results/first", ["results/first/config.json", "line 1", "is not JSON"]),
    (
        "plan --measure results/second",
        ["config.json is missing", "snakemake results/second/config.json --cores 1"],
    ),
    ("provenance results/frst/tables/summary.parquet", RUNS),
    (
        "provenance results/second/tables/sumary.parquet",
        ["sumary.parquet is missing", "did you mean summary?"],
    ),
    ("provenance results/second/tables/summary.parquet", ["is damaged", "start the run again"]),
    ("provenance results/second", ["results/second is no table", "tables/<table>.parquet"]),
    # Configuration.
    ("plan --configfile config/smok.yaml", ["config/smok.yaml is missing", "mean smoke.yaml"]),
    ("plan --configfile config", ["config is a folder", "embedded.yaml, smoke.yaml"]),
    ("plan --configfile broken.yaml", ["broken.yaml is not YAML: line 3, column 6"]),
    ("plan --configfile list.yaml", ["list.yaml holds no keys", "key: value"]),
    ("plan --configfile latin.yaml", ["latin.yaml is not UTF-8 text", "save it as UTF-8"]),
    ("plan --config image_size", ["--config: 'image_size'", "image_size=224"]),
    ("plan --config tasks=[a", ["--config: 'tasks=[a'", "line 1"]),
    ("plan --rates config", ["config is a folder", "--measure RUN"]),
    ("plan --rates rate.json", ["rate.json is missing", "did you mean rates.json"]),
    ("plan --rates rates.json", ["rates.json holds no rates"]),
    # Commands and options.
    ("datsets", ["No such command 'datsets'", "Did you mean 'datasets'"]),
    ("datasets chek sets", ["No such command 'chek'", "'check'"]),
    ("tasks --famly semantic", ["No such option: --famly", "--family"]),
]


@pytest.mark.parametrize(("command", "fragments"), SAID, ids=[command for command, _ in SAID])
def test_mistakes_are_named_with_what_to_type(said, place, command, fragments):
    if "--rates" in command:
        (place / "config" / "embedded.yaml").write_text(
            "{run: a, datasets: [ct_dicom, mr_dicom], encoders: {pixels: {}}, heldout: {}}"
        )
    code, text = said(*command.split())
    assert code
    assert not [fragment for fragment in fragments if fragment not in text], text
    assert "Traceback" not in text


def test_a_file_that_may_not_be_read(said, place, monkeypatch):
    """Root may read everything, so the refusal is made."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "config/smoke.yaml")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    code, text = said("plan", "--configfile", "config/smoke.yaml")
    assert code == 1
    assert "config/smoke.yaml cannot be read: Permission denied" in text
    assert "chmod u+r" in text


def test_files_that_no_command_foresaw(said, monkeypatch):
    def refuse(*_, **__):
        raise OSError(5, "Input/output error", "data/x")

    monkeypatch.setattr("medtaskatlas.datasets.catalogue.load_catalogue", refuse)
    code, text = said("datasets")
    assert code == 1
    assert "data/x: Input/output error\n  remedy: check the path" in text


def test_an_empty_answer_is_a_sentence(said):
    code, text = said("datasets", "--modality", "PHOTO", "--needs", "boxes")
    assert code == 0
    assert "meets --modality PHOTO --needs boxes" in text
    assert "licence  fetched" not in text
    assert "leave out --fetched" in said("datasets", "--fetched", "--modality", "XR")[1]


def test_licences_of_an_expression_are_filtered_as_in_a_run(said, tmp_path):
    flat(tmp_path / "sets" / "mine", n=1, licence="CC0-1.0 AND LicenseRef-mine")
    command = ("datasets", "--datasets-dir", "sets", "--licence", "LicenseRef-mine")
    assert "meets --licence LicenseRef-mine" in said(*command)[1]
    assert "My pictures" in said(*command, "--licence", "CC0-1.0")[1]


def test_the_version(said):
    assert said("--version") == (0, f"medtaskatlas {__version__}\n")


def test_nearest_has_no_case_and_says_when_there_is_nothing():
    assert nearest("mr", ["MR", "XR", "NM"]) == "did you mean MR?"
    assert nearest("Ground truth", ["ground_truth", "none"]) == "did you mean ground_truth?"
    assert nearest("x", []) == "there are none to choose from"


def test_success_says_what_was_checked_and_what_is_next(said, tmp_path):
    root = flat(tmp_path / "sets" / "mine", n=12, group_pattern=r"^(a\d+)")
    code, text = said("datasets", "check", str(root))
    assert code == 0
    assert "12 images in 12 groups" in text
    assert f"{root}: 0 errors, 0 warnings" in text
    assert f"--config datasets_dir={root.parent}" in text


def test_output_to_a_folder(said, tmp_path, monkeypatch):
    import numpy as np

    pair = (np.zeros((4, 4, 3), np.uint8),) * 2
    monkeypatch.setattr("medtaskatlas.pairs.replay.verify", lambda *_: pair)
    (tmp_path / "here").mkdir()
    (tmp_path / "file").write_text("")
    code, text = said("replay", "a", "--out", "here")
    assert code == 1
    assert "cannot write here: Is a directory\n  remedy: name a file" in text
    assert "cannot write file/a.png" in said("replay", "a", "--out", "file/a.png")[1]
    assert said("replay", "a", "--out", "here/a.png")[0] == 0


def test_weights_say_where_they_are(said, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "medtaskatlas.encoders.clip_weights.fetch_clip", lambda model, folder: tmp_path / model
    )
    text = said("weights", "clip", "--model", "lab/med-clip")[1]
    assert text == f"the weights of lab/med-clip are in {tmp_path}/lab/med-clip\n"


# --- tasks check

HEAD = """\
import random
import numpy as np
from medtaskatlas.tasks.task import Ladder, no_params, task
LADDER = Ladder("effect", "grey levels", 0, 50)


def draw(rng, sample, severity):
    return {"by": LADDER.at(severity)}


"""
GOOD = """\
@task(family="transformation", draw=draw, ladder=LADDER)
def {name}(sample, params):
    '''Brighter by some grey levels.'''
    up = np.clip(sample.image.astype(float) + params["by"], 0, 255)
    return sample.image, up.astype(np.uint8)
"""
BROKEN = {
    # Name: what is put for what in a good file, and what must be said beside the file's name.
    "syntax": ("return sample.image, up", "return sample.image, (up", ["line 15", "SyntaxError"]),
    "family": ('"transformation"', '"transformtion"', ["line 11", "did you mean transformation?"]),
    "needs": ("ladder=LADDER", 'needs=("masks",)', ["line 11", "'masks'", "did you mean mask"]),
    "needs_text": ("ladder=LADDER", 'needs="mask"', ["line 11", "write a tuple: needs=('mask',)"]),
    "clash": ("{name}", "rotation", ["two tasks are called rotation", "rename", "transformation"]),
    "undocumented": ("    '''Brighter by some grey levels.'''\n", "", ["needs a docstring"]),
    "no_name": ("draw=draw", "draw=drwa", ["line 11", "NameError", "did you mean draw?"]),
    "no_draw": ("draw=draw", "draw={}", ["line 11", "draw: {} is no function"]),
    "ladder": ("ladder=LADDER", "ladder=(0, 9)", ["line 11", "write Ladder('effect'"]),
    "no_ladder": (", ladder=LADDER", "", ["line 11", "depends on severity", "ladder=Ladder("]),
    "exit": ("LADDER = ", "raise SystemExit(3)\nLADDER = ", ["line 4", "SystemExit: 3"]),
    "import": ("import random\n", "import randm\n", ["line 1", "No module named 'randm'"]),
    "writes": ("up = ", "up = sample.image; up[:] = 0; up = ", ["line 11", "work on a copy"]),
    "params": ("up = ", "params['by'] = 9; up = ", ["changes its params", "work on a copy"]),
    "dtype": (".astype(np.uint8)", "", ["line 11", "float64 (28, 28, 3), must be uint8"]),
    "shape": ("up.astype(np.uint8)", "up.astype(np.uint8)[..., 0]", ["uint8 (28, 28), must be"]),
    "single": ("return sample.image, ", "return ", ["returned uint8 (28, 28, 3), must be a pair"]),
    "noise": ("up = ", "up = np.random.rand(); up = ", ["global generator", "the rng of draw"]),
    "seeds": ("up = ", "np.random.seed(0); up = ", ["global generator", "numpy.random"]),
    "chance": ('{"by"', '{"x": random.random(), "by"', ["draw is not deterministic"]),
    "draw": (
        '{"by"',
        '{"x": sample.masks, "by"',
        ["line 8)", "did you mean mask", "for severity 0.7: AttributeError"],
    ),
    "apply": ("up = ", "x = params['to']; up = ", ["(apply.py, line 14)", "KeyError: 'to'"]),
    "nan": ('{"by"', '{"x": float("nan"), "by"', ["line 11", "are not plain JSON"]),
    "numpy": ('{"by"', '{"x": rng.integers(5), "by"', ["int64 is not JSON serializable", ".py"]),
    "falls": ('+ params["by"]', '+ 50 - params["by"]', ["severity 0 is not the identity"]),
    "empty": ("@task(", "# @task(", ["registers no task", "medtaskatlas.tasks.task.task"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_task_files_name_the_line(said, tmp_path, kind):
    old, new, fragments = BROKEN[kind]
    whole = HEAD + GOOD
    assert old in whole
    text = whole.replace(old, new).replace("{name}", f"broken_{kind}")
    (tmp_path / f"{kind}.py").write_text(text)
    code, shown = said("tasks", "check", f"{kind}.py")
    assert code == 1
    assert f"{kind}.py" in shown
    assert not [fragment for fragment in fragments if fragment not in shown], shown


def test_a_good_task_file_says_what_was_checked(said, tmp_path):
    good = HEAD + GOOD.format(name="lifted") + "\n\n" + GOOD.format(name="lifted_too")
    (tmp_path / "good.py").write_text(good)
    code, text = said("tasks", "check", "good.py")
    assert code == 0
    tried = "transformation task, kept its contract on 7 of 7 pictures (28, 64, 512 px;"
    assert "; grey, colour, one-channel; severities 0 to 1)" in text
    assert f"info: good.py: line 11: lifted: {tried}" in text
    assert f"info: good.py: line 18: lifted_too: {tried}" in text
    assert "good.py: 2 tasks, 0 errors, 0 warnings" in text
    assert "snakemake --cores all --config tasks_dir=." in text


def test_only_what_was_tried_is_told(said, tmp_path):
    """A task of colour images is tried on those alone, and without a ladder at no severity."""
    good = HEAD + GOOD.format(name="inverse").replace("draw=draw, ladder=LADDER", "draw=no_params")
    good = good.replace('transformation"', 'transformation", needs=("colour",)')
    (tmp_path / "good.py").write_text(good.replace('params["by"]', "9"))
    code, text = said("tasks", "check", "good.py")
    assert code == 0
    assert "on 3 of 7 pictures (28, 64, 512 px; colour; no ladder)" in text
