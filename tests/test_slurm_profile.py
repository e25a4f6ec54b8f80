"""What the profiles of slurm/ submit, and what the rules ask for; no Slurm is needed."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
import yte

from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.run.config import parse_config
from medtaskatlas.snakemake_ext.slurm import GPU_RULES

pytestmark = pytest.mark.system

SLURM = REPOSITORY / "slurm"
SITE = SLURM / "site"
# In a process of its own, since the Snakefile mends Snakemake where it is loaded.
ASK = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings

root = Path(sys.argv[1])
settings = ConfigSettings(config=json.loads(sys.argv[2]), configfiles=[root / "config/smoke.yaml"])
with SnakemakeApi() as api:
    plan = api.workflow(
        ResourceSettings(cores=1), settings, snakefile=root / "Snakefile", workdir=Path.cwd()
    )
    said = {}
    for rule in plan._workflow.rules:
        runtime = rule.resources.get("runtime")
        if runtime is not None:
            runtime = [
                runtime.evaluate({}, attempt=n).value if runtime.is_evaluable() else runtime.value
                for n in (1, 2)
            ]
        said[rule.name] = {"gpu": "gpu" in rule.resources, "runtime": runtime}
    print(json.dumps(said))
"""


def asked(folder: Path, **config: object) -> dict[str, dict]:
    """Of each rule of the workflow: whether it asks for a GPU, its minutes at two attempts."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(REPOSITORY), json.dumps(config)],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> dict[str, dict]:
    return asked(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def gpu_rules(rules) -> set[str]:
    return {name for name, said in rules.items() if said["gpu"]}


def test_rules_that_may_ask_for_a_gpu_are_known(gpu_rules) -> None:
    assert set(GPU_RULES) == gpu_rules
    page = (REPOSITORY / "docs" / "gpus.md").read_text()
    table = re.search(r"\| job \| `gpu` \|\n(.*?)\n\n", page, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`[,)]", table)) == gpu_rules


def test_examples_of_set_resources_name_all_rules_with_a_gpu(gpu_rules) -> None:
    page = (SLURM / "README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    named = [set(yaml.safe_load(block)["set-resources"]) for block in blocks]
    assert named
    assert all(names == gpu_rules for names in named)
    site = yte.process_yaml((SITE / "config.yaml").read_text())
    assert set(site["set-resources"]) == gpu_rules


@pytest.fixture
def submitted(tmp_path, monkeypatch, gpu_rules):
    """Rules to the options that sbatch gets of a Snakemake with some profiles."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"
    for name, script in {
        # Refused, so that nothing waits for a job; one write, since several may run at once.
        "sbatch": 'for word; do printf "%s\\0" "$word"; done | '
        f"(cat; echo) | dd bs=64k iflag=fullblock 2>&- >>{calls}; exit 1",
        "sacct": "exit 0",
        "squeue": "exit 0",
        "sacctmgr": "echo mylab",
        "scontrol": "echo 'MinJobAge = 300 sec'",
        "sinfo": 'case "$*" in *%G*) echo "$GRES";; *) echo "main*";; esac',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    # Every rule with a GPU, one of them without (hand-made features), and one that never has any.
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    input: [f'{n}.txt' for n in " + repr([*sorted(gpu_rules), "other"]) + "]\n"
        + "".join(
            f"rule {name}:\n    output: '{name}.txt'\n    threads: 2\n    resources:\n"
            f"        mem_mb=3000, runtime=720, gpu={int(name != 'embed')}\n    shell: 'false'\n"
            for name in sorted(gpu_rules)
        )
        + "rule other:\n    output: 'other.txt'\n    shell: 'false'\n"
    )  # fmt: skip

    def submit(*arguments: object, gres: str = "gpu:a100:4") -> dict[str, list[str]]:
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--workflow-profile", "none"),
                *("--profile", SLURM, *arguments, "--retries", "0"),
                # Before it looks at jobs, of which there are none: 15 s by the profile.
                *("--slurm-init-seconds-before-status-checks", "1"),
                *("--seconds-between-status-checks", "1"),
            ],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "GRES": gres},
        )  # fmt: skip
        assert calls.is_file(), done.stderr
        words = [line.split("\0") for line in calls.read_text().split("\0\n") if line]
        found = {w[w.index("--comment") + 1].removeprefix("rule_"): w for w in words}
        assert found.keys() == {*gpu_rules, "other"}, done.stderr
        return found

    return submit


def option(words: list[str], *names: str) -> str | None:
    """Value of an option in a command line; None where it is not there."""
    for i, word in enumerate(words):
        if word in names:
            return words[i + 1]
        if word.partition("=")[0] in names:
            return word.partition("=")[2]
    return None


def test_a_cluster_without_gpus_is_asked_for_none(submitted) -> None:
    for job, words in submitted(gres="(null)").items():
        assert option(words, "--gpus") is None, job
        # The job asks once more, for its step: it must have been told.
        told = {
            base64.b64decode(code).decode() for code in re.findall(r"base64//([\w+/=]+)", words[-1])
        }
        assert {f"{rule}:gpu=0" for rule in GPU_RULES} <= told


def test_jobs_get_what_the_site_says(submitted, tmp_path) -> None:
    """A copy of slurm/site, behind the profile of the repository."""
    copy = tmp_path / "mycluster"
    copy.mkdir()
    for file in SITE.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    jobs = submitted("--profile", copy)
    for name, words in jobs.items():
        with_gpu = name in GPU_RULES
        assert option(words, "-A") == "mylab"
        assert option(words, "-p") == ("gpu" if with_gpu and name != "embed" else "cpu"), name
        assert option(words, "-C") == ("" if with_gpu else "avx512"), name
        assert option(words, "--qos") == "normal"
        # From the profile of the repository, which the site's does not name.
        assert "--requeue" in words
    assert option(jobs["train"], "--gpus") == "a100:1"
    assert (option(jobs["other"], "--mem"), option(jobs["other"], "-t")) == ("2000", "60")


def test_a_key_of_the_site_replaces_the_whole_key(submitted, tmp_path) -> None:
    (tmp_path / "config.yaml").write_text("default-resources: {slurm_account: mylab}\n")
    job = submitted("--profile", tmp_path)["other"]
    assert option(job, "-A") == "mylab"
    assert option(job, "-t") is None


def test_gres_in_place_of_gpus(submitted, tmp_path) -> None:
    """The lines of slurm/site that are comments, for clusters that know no --gpus."""
    text = (SITE / "config.yaml").read_text()
    text = re.sub(r"      gpu_model: a100\n", "", text)
    text, n = re.subn(r"# (gpu: 0|gres: \"gpu:1\")", r"\1", text)
    assert n == 2
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "partitions.yaml").write_bytes((SITE / "partitions.yaml").read_bytes())
    job = submitted("--profile", tmp_path)["train"]
    assert option(job, "--gres") == "gpu:1"
    assert option(job, "--gpus") is None
    assert option(job, "-p") == "gpu"


def test_minutes_of_a_training_are_a_setting(rules, tmp_path) -> None:
    trainings = {"train", "train_point"} | {
        name for name in GPU_RULES if name.startswith(("multitask_", "medformer_", "transfer_"))
    }
    assert {rules[name]["runtime"][0] for name in trainings} == {720}
    longer = asked(tmp_path, train_minutes=2880)
    changed = {name for name in rules if rules[name] != longer[name]}
    assert changed == trainings
    assert longer["train_point"]["runtime"] == [2880, 2880]
    # No part of what says how a result was made.
    raw = {"run": "a", "datasets": ["b"], "encoders": {"pixels": {}}, "train_minutes": 2880}
    config = parse_config(raw)
    assert config.train_minutes == 2880
    assert "train_minutes" not in config.model_dump()


def test_what_begins_anew_after_a_kill_gets_more_minutes(rules) -> None:
    """Embeddings and tables have no checkpoint; trainings have one, figures take seconds."""
    grown = {name for name, said in rules.items() if said["runtime"][0] != said["runtime"][1]}
    assert all(rules[name]["runtime"][1] == 2 * rules[name]["runtime"][0] for name in grown)
    tables = {name for name in rules if name.startswith("table_")}
    assert {"prepare", "make_pairs", "embed", "embed_set", "embed_point", "predict"} <= grown
    assert tables
    assert tables <= grown
