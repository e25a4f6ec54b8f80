"""An edit of a helper changes the hash of what uses it, and of nothing else."""

import json
import shutil

import pytest

from medtaskatlas.core import code_hash as provenance
from medtaskatlas.core.code_hash import modules_behind


def forget() -> None:
    """As in a new process."""
    provenance._modules.cache_clear()
    provenance.code_hash.cache_clear()


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package whose files a test may edit."""
    package = tmp_path / "medtaskatlas"
    shutil.copytree(provenance.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", package)
    forget()
    yield package
    forget()


USERS = {
    "pairs": ("medtaskatlas.pairs.sets", "medtaskatlas.tasks.transformation"),
    "semantic": ("medtaskatlas.pairs.sets", "medtaskatlas.tasks.semantic"),
    "prepare npz": ("medtaskatlas.datasets.prepare", "medtaskatlas.datasets.sources.npz"),
    "prepare folder": ("medtaskatlas.datasets.prepare", "medtaskatlas.datasets.sources.folder"),
    "train": ("medtaskatlas.encoders.train", "medtaskatlas.encoders.kinds.taco"),
    "embed": ("medtaskatlas.encoders.embed", "medtaskatlas.encoders.kinds.pixels"),
    "predict": ("medtaskatlas.atlas.predict",),
}


def hashes():
    forget()
    return {name: provenance.code_hash(*modules) for name, modules in USERS.items()}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("tasks/pixels.py", {"pairs", "semantic"}),
        ("tasks/transformation.py", {"pairs"}),
        ("tasks/semantic.py", {"semantic"}),
        ("encoders/taco/sampler.py", {"train"}),
        ("encoders/pixels.py", {"embed"}),
        ("encoders/kinds/pixels.py", {"embed"}),
        ("encoders/kind.py", {"train", "embed"}),
        ("atlas/knn.py", {"predict"}),
        ("datasets/io/npz_stream.py", {"prepare npz", "prepare folder"}),
        ("datasets/folder/survey.py", {"prepare folder"}),
        ("datasets/sources/npz.py", {"prepare npz"}),
        ("datasets/sources/__init__.py", set()),
        ("datasets/resize.py", {"prepare npz", "prepare folder"}),
        (
            "formats/images.py",
            {"pairs", "semantic", "prepare npz", "prepare folder", "train", "embed"},
        ),
        ("cli/__init__.py", set()),
    ],
)
def test_an_edit_reaches_its_users_only(copy, file, changed) -> None:
    before = hashes()
    with (copy / file).open("a") as handle:
        handle.write("\nEDITED = 1\n")
    after = hashes()
    assert {name for name in USERS if before[name] != after[name]} == changed


def test_comments_and_docstrings_are_not_code(copy) -> None:
    before = hashes()
    file = copy / "tasks" / "transformation.py"
    text = file.read_text().replace('"""Rotate about the centre, either way."""', '"""Turn."""')
    file.write_text(text + "\n# a comment\n")
    assert hashes() == before


def test_imports_inside_functions_count() -> None:
    assert "medtaskatlas.encoders.network" in modules_behind("medtaskatlas.encoders.embed")


def test_an_unknown_module_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no module"):
        modules_behind("medtaskatlas.nothing")


def kept(copy):
    return next((copy / "__pycache__").glob("modules.*.json"))


def test_what_is_kept_says_the_same_and_spares_parsing(copy, monkeypatch) -> None:
    before = hashes()
    assert kept(copy).is_file()
    monkeypatch.setattr(provenance, "_facts", None)
    assert hashes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 0, "facts": {}}', "{\x00"])
def test_what_was_kept_damaged_is_made_anew(copy, text) -> None:
    before = hashes()
    whole = kept(copy).read_text()
    kept(copy).write_text(text)
    assert hashes() == before
    assert kept(copy).read_text() == whole


@pytest.mark.parametrize("fact", [None, [], [[], ""], ["names", "0" * 64], [[1], "0" * 64]])
def test_an_entry_that_was_kept_damaged_is_made_anew(copy, fact) -> None:
    before = hashes()
    whole = kept(copy).read_text()
    told = json.loads(whole)
    told["facts"] = dict.fromkeys(told["facts"], fact)
    kept(copy).write_text(json.dumps(told))
    assert hashes() == before
    assert kept(copy).read_text() == whole


def test_a_file_that_is_not_python_matters_to_its_users_only(copy) -> None:
    before = hashes()
    (copy / "encoders" / "taco" / "sampler.py").write_text("def half(:")
    after = hashes()
    assert {name for name in USERS if before[name] != after[name]} == {"train"}


def test_where_nothing_can_be_kept_it_is_parsed_each_time(copy) -> None:
    before = hashes()
    shutil.rmtree(copy / "__pycache__")
    (copy / "__pycache__").write_text("in the way")
    assert hashes() == before
