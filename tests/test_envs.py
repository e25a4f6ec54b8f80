"""requirements.lock, pyproject.toml and the conda environments of the rules say the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from medtaskatlas.core.code_hash import modules, modules_behind
from medtaskatlas.core.files import REPOSITORY

ENVIRONMENTS = ["base", "torch"]
OWNERS = packages_distributions()
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def locked():
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def environment(name):
    env = yaml.safe_load((REPOSITORY / "envs" / f"{name}.yaml").read_text())
    [pip] = [part["pip"] for part in env["dependencies"] if isinstance(part, dict)]
    return env, [Requirement(line) for line in pip]


def rules():
    """(rule, environment, script) of every rule that runs a script."""
    for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            script = re.search(r'script:\s+"([^"]+)"', text)
            if script:
                env = re.search(r'conda:\s+"../../envs/(\w+)\.yaml"', text)
                yield text.split(":")[0], env and env[1], file.parent / script[1]


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_lock_is_plain():
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    odd = [x for x in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", x)]
    assert odd == [], "no paths, addresses, hashes or local versions: make lock"


@pytest.mark.parametrize("part", ["build", "dependencies", "embedded", "dev"])
def test_lock_admits_what_pyproject_asks_for(part):
    project = PYPROJECT["project"]
    asked = {
        "build": PYPROJECT["build-system"]["requires"],
        "dependencies": project["dependencies"],
        **project["optional-dependencies"],
    }[part]
    pins = locked()
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{requirement} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{requirement}: make lock"
        )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_has_the_pins_of_the_lock(name):
    env, pip = environment(name)
    pins = locked()
    differ = {
        str(pin): pins.get(canonicalize_name(pin.name))
        for pin in pip
        if str(pin.specifier) != f"=={pins.get(canonicalize_name(pin.name))}"
    }
    assert differ == {}, f"envs/{name}.yaml: its pins, and what requirements.lock says"
    assert env["channels"] == ["conda-forge", "nodefaults"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_takes_the_same_pythons_as_the_package(name):
    env, _ = environment(name)
    [python] = [Requirement(x) for x in env["dependencies"] if str(x).startswith("python")]
    asked = Requirement("python" + PYPROJECT["project"]["requires-python"])
    for minor in range(9, 18):
        version = Version(f"3.{minor}.4")
        assert python.specifier.contains(version) == asked.specifier.contains(version)


def test_both_environments_install_the_package_the_same_way():
    base, torch = (REPOSITORY / "envs" / f"{name}.post-deploy.sh" for name in ENVIRONMENTS)
    assert base.read_text() == torch.read_text()


@pytest.mark.parametrize(("rule", "name", "script"), rules(), ids=lambda x: str(x).split("/")[-1])
def test_environment_has_what_its_rules_import(rule, name, script):
    assert name in ENVIRONMENTS, f"rule {rule} names no environment of envs/"
    has = {canonicalize_name(pin.name) for pin in environment(name)[1]}
    ours = [module for module in imported(script) if module in modules()]
    # Reading a configuration imports kinds of encoders and systems, and these import torch only
    # when asked for a network: tests/encoders/test_frozen.py sees to that.
    rooms = {"encoders", "learning", "medformer", "multitask", "networks", "problems"}
    lazy = {m for m in modules_behind("medtaskatlas.run.config") if m.split(".")[1] in rooms}
    behind = [m for m in modules_behind(*ours) if name == "torch" or m not in lazy]
    files = [script, *(modules()[m].file for m in behind)]
    for file in files:
        for module in {module.split(".")[0] for module in imported(file)}:
            if module in {*sys.stdlib_module_names, "medtaskatlas", "__future__", "snakemake"}:
                continue
            owner = {canonicalize_name(x) for x in OWNERS.get(module, [module])}
            assert owner & has, f"{file.name} imports {module}, which envs/{name}.yaml has not"


def test_the_image_holds_the_lock_and_nothing_beside_it():
    text = (REPOSITORY / "envs" / "Containerfile").read_text()
    installs = re.findall(r"pip install (.*)", text)
    assert installs == [
        "-r /opt/requirements.lock",
        "--no-deps --no-build-isolation --editable .",
    ]
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for word in line.split()]
    sent = re.findall(r"^!(.*)$", (REPOSITORY / ".dockerignore").read_text(), re.M)
    assert sorted(copied) == sorted(sent), "what is copied and what .dockerignore lets through"
    [base] = re.findall(r"^ARG BASE=python:([0-9.]+)-", text, re.M)
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]).contains(base)
