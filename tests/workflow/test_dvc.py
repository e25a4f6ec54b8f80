"""What the Makefile does with DVC, in a scratch repository with a tiny workflow.

Data come out the same everywhere and data.dvc proves it; results of training may differ between
machines, so they are recorded, not compared.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medtaskatlas.core.files import REPOSITORY

BIN = Path(sys.prefix) / "bin"
OURS = ["Makefile", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"]
OURS += ["dvc.yaml", "params.yaml"]
# As the real one: data, pairs in between, what dvc.yaml lists, and a figure, which it does not.
SNAKEFILE = """
RESULTS = f"results/{config['run']}"
PLOTTED = [f"{RESULTS}/figures/{name}.png" for name in ("atlas_map", "identification")]
rule all:
    input: f"{RESULTS}/figures/f.svg", PLOTTED, f"{RESULTS}/metrics/findings.json"
rule download:
    output: "data/embedded/ct/MANIFEST.json"
    shell: "echo pixels > data/embedded/ct/image; echo {{}} > {output}"
rule pairs:
    input: rules.download.output
    output: f"{RESULTS}/pairs/p.arrow"
    shell: "cat {input} > {output}"
rule train:
    input: rules.pairs.output
    output: f"{RESULTS}/encoders/taco/seed0/model"
    shell: "echo trained on ${{CPU:-one}} > {output}"
rule embed:
    input: rules.train.output
    output: f"{RESULTS}/embeddings/taco/seed0.parquet"
    shell: "cat {input} > {output}"
rule tables:
    input: rules.embed.output
    output: f"{RESULTS}/tables/t.parquet"
    shell: "cat {input} > {output}"
rule figures:
    input: rules.tables.output
    output: f"{RESULTS}/figures/f.svg"
    shell: "cat {input} > {output}"
rule plotted:
    input: rules.tables.output
    output: PLOTTED
    shell: "for file in {output}; do echo png > $file; done"
rule metrics:
    input: rules.tables.output
    output: f"{RESULTS}/metrics/findings.json", f"{RESULTS}/metrics/findings.csv"
    params: steps=config["encoders"]["taco"]["steps"]
    shell:
        "echo '{{\\"supported\\": {params.steps}}}' > {output[0]};"
        "printf 'label,estimate\\\\nnamed,0.9\\\\n' > {output[1]}"
"""
CONFIG = "run: {run}\n# Comments stay.\nencoders:\n  taco: {{steps: 5}}\n"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(
        not (BIN / "activate").exists(), reason="needs a venv, as the Makefile does"
    ),
]


class Checkout:
    """A working copy and the commands that a user gives in it."""

    def __init__(self, folder, **environment):
        self.folder = folder
        inherited = {
            k: v
            for k, v in os.environ.items()
            if k not in ("MAKEFLAGS", "MAKELEVEL", "ARGS", "CPU")
        }
        who = {
            f"GIT_{role}_{what}": "x"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        site = str(folder.parent / "dvc-site")
        path = f"{BIN}{os.pathsep}{inherited['PATH']}"
        own = {"DVC_SITE_CACHE_DIR": site, "PATH": path}
        self.environment = inherited | who | own | environment

    def run(self, *command, fails=False):
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def make(self, target, **options):
        # With the environment that runs the tests; -o: do not install into it.
        return self.run(
            "make", target, f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed", **options
        )

    def dvc(self, *arguments):
        return self.run(str(BIN / "dvc"), *arguments)

    def commit(self):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "x")

    def changed(self):
        return self.run("git", "status", "--porcelain").split()[1::2]

    def clone(self, name, **environment):
        self.run("git", "clone", "--quiet", ".", f"../{name}")
        return Checkout(self.folder.parent / name, **environment)

    def read(self, path):
        return (self.folder / path).read_text()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A repository after the first run ever, committed: data.dvc had no hash before."""
    folder = tmp_path_factory.mktemp("dvc") / "first"
    for name in OURS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "data.dvc").write_text("outs:\n- path: data/embedded\n")
    (folder / "Snakefile").write_text(SNAKEFILE)
    profile = "profiles/default/config.yaml"
    for name in ("workflow/code.py", "config/datasets/x.yaml", "requirements.lock", profile):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("configfile: config/embedded.yaml\n")
    for run in ("embedded", "folder"):
        (folder / "config" / f"{run}.yaml").write_text(CONFIG.format(run=run))
    checkout = Checkout(folder)
    checkout.run("git", "init", "--quiet")
    checkout.make("atlas")
    checkout.commit()
    return checkout


def test_first_run_fills_in_the_hashes(first):
    assert "md5:" in first.read("data.dvc")
    assert "results/embedded/encoders" in first.read("dvc.lock")
    assert "up to date" in first.dvc("status")


def test_second_run_changes_nothing(first):
    assert "Nothing to be done" in first.make("atlas")
    assert first.changed() == []


def test_clone_on_another_machine_needs_no_remote_and_ends_clean(first):
    other = first.clone("other", CPU="two")
    other.make("repro")
    assert "trained on two" in other.read("results/embedded/tables/t.parquet")
    assert "up to date" in other.dvc("status")
    assert other.changed() == ["dvc.lock"]


def test_the_page_quotes_what_dvc_says_before_a_run_and_without_a_remote(first):
    page = " ".join((REPOSITORY / "docs/dvc.md").read_text().split())
    clone = first.clone("fresh")
    before = clone.dvc("metrics", "show")
    pulled = clone.run(str(BIN / "dvc"), "pull", fails=True)
    pushed = clone.run(str(BIN / "dvc"), "push", fails=True)
    for said, words in (
        (before, "DVC failed to load some metrics"),
        (pulled, "No remote provided and no default remote set"),
        (pulled, "Checkout failed for following targets"),
        (pushed, "no remote specified"),
    ):
        assert words in said
        assert f"`{words}`" in page


def test_changed_data_stop_the_run_and_are_not_recorded(first):
    clone = first.clone("changed")
    clone.make("atlas")
    # What a killed download leaves behind is no change.
    (clone.folder / "data/embedded/ct/.image.123.tmp").write_text("half")
    assert "up to date" in clone.dvc("status")
    (clone.folder / "data/embedded/ct/image").write_text("other pixels\n")
    text = clone.make("atlas", fails=True)
    assert "data/embedded differs from data.dvc" in text
    assert "remove data/embedded" in text
    assert clone.changed() == []


def test_after_pull_and_touch_only_what_dvc_does_not_hold_is_made(first):
    remote = str(first.folder.parent / "remote")
    first.dvc("push", "--quiet", "--remote", add_remote(first, remote))
    clone = first.clone("pulled", CPU="two")
    clone.dvc("pull", "--quiet", "--remote", add_remote(clone, remote))
    clone.make("touch")
    clone.make("atlas")
    assert "trained on one" in clone.read("results/embedded/figures/f.svg")
    assert not (clone.folder / "results/embedded/pairs").exists()
    assert "up to date" in clone.dvc("status")
    assert clone.changed() == []


def test_findings_are_metrics_and_plots(first):
    clone = first.clone("shown")
    clone.make("repro")
    assert re.search(r"findings\.json\s+5$", clone.dvc("metrics", "show"), re.M)
    clone.dvc("plots", "show", "--out", "plots")
    page = clone.read("plots/index.html")
    assert "identification.png" in page
    assert '"named"' in page


def test_a_sweep_changes_one_key_and_shows_what_it_did(first):
    clone = first.clone("sweep")
    clone.make("repro")
    clone.dvc("exp", "run", "--name", "seven", "-S", "config/embedded.yaml:encoders.taco.steps=7")
    assert clone.read("config/embedded.yaml") == CONFIG.format(run="embedded").replace("5", "7")
    table = json.loads(clone.dvc("metrics", "diff", "--json"))
    assert table["results/embedded/metrics/findings.json"]["supported"]["diff"] == 2
    assert "seven" in clone.dvc("exp", "list")


def test_another_run_is_kept_when_it_is_listed(first):
    clone = first.clone("two")
    lines = clone.read("params.yaml").replace("# folder:", "folder:")
    lines = lines.replace("#   options: --cores all --config", "  options: --cores all --config")
    (clone.folder / "params.yaml").write_text(lines)
    assert clone.dvc("stage", "list", "--name-only").split() == ["atlas@embedded", "atlas@folder"]
    clone.dvc("repro", "atlas@folder")
    assert "trained on" in clone.read("results/folder/tables/t.parquet")
    assert not (clone.folder / "results/embedded").exists()
    assert "results/folder/encoders" in clone.read("dvc.lock")


def add_remote(checkout, folder):
    checkout.dvc("remote", "add", "--local", "--quiet", "--force", "local", folder)
    return "local"
