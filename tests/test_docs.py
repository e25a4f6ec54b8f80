"""Pages say what the code does."""

import re

import pytest

from medtaskatlas.config_docs import TARGETS, sections
from medtaskatlas.docs import pages
from medtaskatlas.files import REPOSITORY


@pytest.mark.parametrize("file", list(pages()), ids=lambda file: file.name)
def test_page_is_in_step(file):
    assert file.read_text() == pages()[file], f"{file.name} is out of step with the code: make docs"


def test_every_key_is_described():
    bare = [
        f"{model.__name__}.{key}"
        for model in sections().values()
        for key, field in model.model_fields.items()
        if not field.description
    ]
    assert bare == []


def test_targets_are_rules_without_wildcards():
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow" / "rules").glob("*.smk")]
    rules = {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)}
    assert TARGETS.keys() <= rules
