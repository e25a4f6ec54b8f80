"""Every command that a page, a help text or a message shows is one that works.

Each line of a fenced ``sh`` block is run by the rule of its program (`RULES`): Snakemake dry, the
rest for real where it is quick, else as far as its options. A program without a rule fails, until
it gets one or its block is marked, on a line of its own above it, with ``<!-- test: skip REASON
-->``. Fenced ``python`` blocks are run on a finished run. Commands within a sentence, a message or
a comment have placeholders, so of these only the options are checked.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import dvc.cli
import matplotlib as mpl
import pytest
from dvc.cli import DvcParserError
from snakemake.cli import parse_args
from typer.testing import CliRunner

from folders import write
from generated import make_sample
from medtaskatlas.cli import app
from medtaskatlas.core.files import REPOSITORY

pytestmark = pytest.mark.system

BIN = Path(sys.prefix) / "bin"
FOLDERS = ["config", "docs", "envs", "profiles", "slurm", "tests", "workflow"]
FILES = ["Makefile", "Snakefile", "dvc.yaml", "params.yaml", "pyproject.toml", "requirements.lock"]
FILES += ["requirements-bench.txt", "requirements-oracles.txt"]
# What stands in a page for something of the reader's, and what is there in its place here.
READERS = {
    "/shared/medtaskatlas.sif": "medtaskatlas.sif",
    "~/.config/snakemake/slurm": "own_profile",
    "~/.config/snakemake/mycluster": "mycluster",
    "datasets_dir=PATH": "datasets_dir=mine",
}
HAND = "mine/hand_xray"
SUBCOMMANDS = [c.name or c.callback.__name__ for c in app.registered_commands]
SUBCOMMANDS += [group.name for group in app.registered_groups]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    skip: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


FENCE = re.compile(
    r"(?:^<!-- test: skip (?P<skip>.+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\S*).*\n(?P<text>(?:.*\n)*?)(?P=indent)```$",
    re.M,
)


def pages() -> dict[str, str]:
    """Markdown of the project, by path."""
    paths = [*REPOSITORY.glob("*.md")]
    paths += [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.md")]
    return {str(path.relative_to(REPOSITORY)): path.read_text() for path in sorted(paths)}


PAGES = pages()
BLOCKS = [
    Block(
        page,
        text[: found.start("text")].count("\n"),
        found["language"],
        found["skip"],
        dedent(found["text"]),
    )
    for page, text in PAGES.items()
    for found in FENCE.finditer(text)
]
SHOWN = [b for b in BLOCKS if b.language == "sh" and b.skip is None]


def simple_commands(text: str) -> list[list[str]]:
    """Words of the commands of a shell script, without comments and the words of loops."""
    for theirs, here in READERS.items():
        text = text.replace(theirs, here)
    commands: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        commands.append([])
        for word in lexer:
            if set(word) <= set(";&|"):
                commands.append([])
            elif word != "do" or commands[-1]:
                commands[-1].append(word)
    return [words for words in map(without_settings, commands) if words[:1] not in ([], ["done"])]


def without_settings(words: list[str]) -> list[str]:
    """The command without NAME=value before it."""
    start = next((i for i, w in enumerate(words) if not re.match(r"\w+=", w)), len(words))
    return words[start:]


def run(words: list[str], folder: Path, **environment: str) -> str:
    """Run a program to its end and return what it said."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ
        | {"PATH": f"{folder}/bin{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"}
        | {"PYTHONPATH": str(folder / "workflow"), "DVC_NO_ANALYTICS": "1"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{shlex.join(words)}:\n{said}"
    assert "Traceback" not in said, said
    return said


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the project with what its pages say a reader has: a task, a data set, an image."""
    folder = tmp_path_factory.mktemp("documented") / "checkout"
    for name in FOLDERS:
        if name != "tests":
            source, junk = REPOSITORY / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / name, ignore=junk)
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder / name)
    [kind] = [b.text for b in BLOCKS if b.page == "docs/encoders.md" and b.language == "python"]
    (folder / "workflow/medtaskatlas/encoders/kinds/spectrum.py").write_text(kind)
    (folder / "mine").mkdir()
    for own in ("mine.py", "mine/thick_slice_restoration.py"):
        shutil.copy(REPOSITORY / "docs/task_template.py", folder / own)
    own_dataset(folder / HAND)
    (folder / "own_profile").mkdir()
    (folder / "own_profile/config.yaml").write_text("retries: 3\n")
    (folder / "mycluster").symlink_to(folder / "slurm/site")
    (folder / "medtaskatlas.sif").touch()
    # Asked for its version by Snakemake, which runs no job here.
    stand_in(folder, "apptainer", "echo apptainer version 1.3.6")
    return folder


@pytest.fixture(scope="module")
def finished(checkout, smoke) -> Path:
    """The copy with the finished smoke run, also under the name that pages give a run."""
    (checkout / "data").symlink_to(smoke / "data")
    (checkout / "results").mkdir()
    for name in ("smoke", "embedded"):
        (checkout / "results" / name).symlink_to(smoke / "results/smoke")
    yield checkout
    shutil.rmtree(checkout / "results")
    (checkout / "data").unlink()


def own_dataset(folder: Path) -> None:
    """The folder dataset of docs/your_own_data.md, described as the page shows it."""
    for i in range(12):
        sample, file = make_sample(80, seed=i), f"patient{i // 2}_{i % 2}.png"
        write(folder / "images" / file, sample.image)
        write(folder / "masks" / file, (sample.mask > 0).astype("uint8"))
    own = [b for b in BLOCKS if b.page == "docs/your_own_data.md" and b.language == "yaml"]
    (folder / "dataset.yaml").write_text(own[0].text)


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program of that name, found before any other in the copy of the project."""
    file = folder / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


# The rules: how a command of each program is run


def parsed_snakemake(words: list[str], folder: Path) -> list[str]:
    """Hold a command line to Snakemake's own parser; targets, which must come first."""
    line = shlex.join(words)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(said):
        patch.chdir(folder)
        try:
            _, args = parse_args(words[1:])
        except SystemExit:
            raise AssertionError(f"{line}:\n{said.getvalue()}") from None
    taken = [c for c in args.config or [] if "=" not in c]
    taken += [str(f) for f in args.configfile or [] if f.suffix not in (".yaml", ".json")]
    assert not taken, f"{line}: {taken} would be taken for configuration; name targets first"
    targets = sorted(map(str, args.targets))
    first = sorted(words[1 : 1 + len(targets)])
    assert targets == first, f"{line}: name targets first: {targets}"
    return targets


DONE_DRY: set[str] = set()


def dry(words: list[str], folder: Path) -> None:
    """Run Snakemake dry; once where commands differ in what a dry run does not look at."""
    parsed_snakemake(words, folder)
    # Linting and unlocking are no runs.
    if {"--lint", "--unlock"} & set(words):
        return
    key = re.sub(r"--cores \S+|(?<!\S)-n(?!\S)", "", shlex.join(words))
    if " ".join(key.split()) not in DONE_DRY:
        run([*words, "--dry-run", "--quiet", "rules"], folder)
        DONE_DRY.add(" ".join(key.split()))


def inside(words: list[str], folder: Path) -> None:
    """A command of a container: files exist, and the Snakemake in it runs dry."""
    for option in ("-f", "--file"):
        if option in words:
            assert (folder / words[words.index(option) + 1]).is_file(), words
    if "snakemake" in words:
        dry(words[words.index("snakemake") :], folder)


def one_job(words: list[str], folder: Path) -> list[str]:
    """Run the script of a batch job; the Snakemake command that it gives."""
    [script] = [i for i, word in enumerate(words) if word.endswith(".sh")]
    stand_in(folder, "snakemake", r"""printf '%s\n' "$@" > asked""")
    allotted = {"SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_NODE": "8192", "SLURM_GPUS_ON_NODE": "1"}
    run(["sh", *words[script:]], folder, **allotted)
    (folder / "bin/snakemake").unlink()
    return ["snakemake", *(folder / "asked").read_text().splitlines()]


def made(words: list[str], folder: Path) -> list[list[str]]:
    """Commands of a Makefile's target, with a finished installation."""
    venv = [f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed"]
    if shutil.which("make") is None:
        pytest.skip("needs make")
    said = run([words[0], "-n", *words[1:], *venv], folder, MAKEFLAGS="", ARGS="")
    lines = [re.sub(r"^.*bin/activate && ", "", line) for line in said.splitlines()]
    return [simple_commands(line)[0] for line in lines if re.match("(snakemake|dvc) ", line)]


def make(words: list[str], folder: Path) -> None:
    """Every Snakemake and DVC command of the target."""
    for command in made(words, folder):
        RULES[command[0]](command, folder)


def parsed_dvc(words: list[str], folder: Path) -> None:
    """Hold a command line to DVC's own parser; what DVC does is in test_dvc.py."""
    # `dvc metrics` alone is a group of commands.
    words = [*words, "--help"] if len(words) == 2 else words
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            dvc.cli.parse_args(words[1:])
    except (DvcParserError, SystemExit) as error:
        asked = words[-1] == "--help" and getattr(error, "code", 1) == 0
        assert asked, f"{shlex.join(words)}: {said.getvalue()}"


def parsed_medtaskatlas(words: list[str], folder: Path) -> None:
    """As far as its options: --help comes after these are read."""
    said = CliRunner().invoke(app, [*words[1:], "--help"])
    assert said.exit_code == 0, f"{shlex.join(words)}: {said.output}"


def medtaskatlas(words: list[str], folder: Path) -> None:
    """For real; weights are gigabytes from another host, the others need files of the reader's."""
    if words[1] in ("weights", "predict", "place"):
        parsed_medtaskatlas(words, folder)
        return
    described = folder / HAND / "dataset.yaml"
    text = described.read_text()
    if words[1:3] == ["datasets", "init"]:
        described.unlink()
    run(words, folder)
    described.write_text(text)


def shell(words: list[str], folder: Path) -> None:
    """For real, in an empty folder with the project's pages and profiles."""
    place = folder / "elsewhere"
    if not place.exists():
        place.mkdir()
        for name in ("docs", "slurm"):
            (place / name).symlink_to(folder / name)
    run(words, place)


RULES = {
    "snakemake": dry,
    "medtaskatlas": medtaskatlas,
    "make": make,
    "dvc": parsed_dvc,
    "sbatch": lambda words, folder: dry(one_job(words, folder), folder),
    "docker": inside,
    "apptainer": inside,
    "python": run,
    "mkdir": shell,
    "cp": shell,
    "for": lambda words, folder: None,
}
ADVICE = (
    "give it a rule in RULES of tests/workflow/test_documented_commands.py, or put a line "
    "<!-- test: skip REASON --> above its block"
)


def cases() -> list:
    """The commands of all blocks, by page and line of the block."""
    return [
        pytest.param(words, id=f"{block} {shlex.join(words)[:70]}")
        for block in SHOWN
        for words in simple_commands(block.text)
    ]


@pytest.mark.parametrize("words", cases())
def test_shown_command_works(words, finished, request):
    assert words[0] in RULES, f"{words[0]}: {ADVICE}"
    RULES[words[0]](words, finished)


def test_every_block_names_its_language():
    known = {"sh", "python", "yaml", "text"}
    others = {str(b): b.language for b in BLOCKS if b.language not in known}
    assert not others, f"blocks of none of {known}, so nobody knows whether to run them"
    commands = re.compile(rf"^\s*(?:\$ )?(?:{'|'.join(RULES)}) ", re.M)
    plain = [str(b) for b in BLOCKS if b.language == "text" and commands.search(b.text)]
    assert not plain, "commands: make it a block of sh"
    fences = sum(len(re.findall(r"^ *(?:```|~~~)", text, re.M)) for text in PAGES.values())
    assert fences == 2 * len(BLOCKS), "a block that is not closed, or fenced with ~~~"


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_shown_block_is_a_script(block):
    done = subprocess.run(
        ["sh", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert simple_commands(block.text)


PYTHON = {
    page: [b for b in BLOCKS if (b.page, b.language, b.skip) == (page, "python", None)]
    for page in PAGES
}


@pytest.mark.parametrize("page", [page for page, blocks in PYTHON.items() if blocks])
def test_shown_python_runs_on_a_finished_run(page, finished, monkeypatch):
    monkeypatch.chdir(finished)
    space: dict = {}
    with mpl.rc_context({"backend": "agg"}):
        for block in PYTHON[page]:
            exec(compile(block.text, str(block), "exec"), space)


# Commands within sentences, messages and comments


def strings(tree: ast.AST) -> list[str]:
    """Texts of a module, with NAME for what is filled in."""
    nodes = list(ast.walk(tree))
    filled = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {part for values in filled for part in values}
    texts = [[n] for n in nodes if isinstance(n, ast.Constant) and n not in parts]
    return [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in text)
        for text in [*filled, *texts]
    ]


def mentioned() -> list:
    """Commands in the text of pages, in messages and docstrings of the code, in comments."""
    quoted = re.compile(r"`((?:\w+=\S+ )?(?:snakemake|medtaskatlas|sbatch|dvc|make) [^`]+)`")
    bare = re.compile(
        r"(?:: +|^(?:# *)?)((?:(?:snakemake|sbatch|dvc) [-\w]|medtaskatlas "
        rf"(?:{'|'.join(SUBCOMMANDS)})\b).*?)(?=[;)`]|: |$)",
        re.M,
    )
    texts = {page: [text] for page, text in PAGES.items()}
    for file in [*REPOSITORY.glob("workflow/**/*.py"), REPOSITORY / "docs/task_template.py"]:
        texts[str(file.relative_to(REPOSITORY))] = strings(ast.parse(file.read_text()))
    for pattern in ["Makefile", "Snakefile", "*.y*ml", "*/*.y*ml", "*/*/*.y*ml", "slurm/*.sh"]:
        for file in REPOSITORY.glob(pattern):
            comments = re.findall("#.*", file.read_text())
            texts[str(file.relative_to(REPOSITORY))] = comments
    found = {}
    for place, parts in texts.items():
        for text in parts:
            plain = FENCE.sub("", text)
            ways = [quoted] if place in PAGES else [quoted, bare]
            for match in [match for way in ways for match in way.finditer(plain)]:
                found.setdefault((place, " ".join(match[1].split())))
    return [pytest.param(command, id=f"{place} {command[:70]}") for place, command in found]


PARSERS = {
    "snakemake": parsed_snakemake,
    "medtaskatlas": parsed_medtaskatlas,
    "dvc": parsed_dvc,
    "make": lambda words, folder: [PARSERS[w[0]](w, folder) for w in made(words, folder)],
    "sbatch": lambda words, folder: parsed_snakemake(one_job(words, folder), folder),
}


@pytest.mark.parametrize("command", mentioned())
def test_mentioned_command_has_options_that_exist(command, checkout):
    command = re.sub(r" \.\.\.(?= |$)", "", command.replace("<target>", "images"))
    [words] = simple_commands(command)
    if words[0] != "sbatch" or ".sh" in command:
        PARSERS[words[0]](words, checkout)


def test_commands_are_looked_for_in_pages_code_and_comments():
    places = {case.id.split()[0] for case in mentioned()}
    code = {"workflow/medtaskatlas/run/budget/rates.py", "docs/task_template.py"}
    comments = {"config/folder.yaml", "config/public.yaml", "slurm/one-job.sh"}
    assert {"README.md", "docs/gpus.md"} | code | comments <= places


# What a user adds


MAKEFILE = (REPOSITORY / "Makefile").read_text()
HELP = re.findall(r'^([a-z-]+):.*## .*?\b(ARGS="[^"]+")', MAKEFILE, re.M)


@pytest.mark.parametrize(("target", "arguments"), HELP)
def test_help_of_make_shows_arguments_that_work(checkout, target, arguments):
    make(["make", target, *shlex.split(arguments)], checkout)


MORE = ["--configfile config/smoke.yaml", "--config run=more", "--resources mem_mb=9000"]


@pytest.mark.parametrize("target", ["report", "touch"])
@pytest.mark.parametrize("more", MORE)
def test_arguments_for_make_leave_its_targets_alone(checkout, target, more):
    [alone] = made(["make", target], checkout)
    [asked] = made(["make", target, f"ARGS={more}"], checkout)
    assert parsed_snakemake(asked, checkout) == parsed_snakemake(alone, checkout)


def test_one_job_of_slurm_takes_a_target(checkout):
    asked = one_job(["sbatch", "slurm/one-job.sh", "tables", *MORE[0].split()], checkout)
    _, args = parse_args(asked[1:])
    assert list(args.targets) == ["tables"]
    assert [str(f) for f in args.configfile] == ["config/smoke.yaml"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--config run=more", "Unparsable value: 'images'"),
        ("--configfile config/smoke.yaml", "No such file or directory: 'images'"),
    ],
)
def test_the_manual_quotes_what_a_target_behind_an_option_ends_in(checkout, option, words):
    line = [str(BIN / "snakemake"), "--cores", "1", *option.split(), "images"]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stdout + done.stderr
    assert f"`{words}`" in PAGES["config/README.md"]


def test_trace_of_a_table_gives_a_command_that_works(finished):
    table = "results/smoke/tables/identification.parquet"
    found = json.loads(run(["medtaskatlas", "provenance", table, "--quick", "--json"], finished))
    assert parsed_snakemake(shlex.split(found["command"]), finished) == [table]
    dry(shlex.split(found["command"]), finished)
