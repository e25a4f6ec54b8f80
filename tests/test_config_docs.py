"""config/README.md says what config.py does."""

import re

from medtaskatlas.config_docs import PAGE, TARGETS, render, sections
from medtaskatlas.files import REPOSITORY


def test_page_is_in_step():
    assert PAGE.read_text() == render(), "config/README.md is out of step with config.py: make docs"


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
