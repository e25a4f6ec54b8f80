"""A small run, its page, and a browser to look at it."""

from __future__ import annotations

import pytest
from interactive.browser import opened
from interactive.small import EVIL, make_run

from medtaskatlas.figures.interactive.page import interactive_atlas


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def heldout(tmp_path_factory):
    """The small run with a task kept out of training."""
    return make_run(tmp_path_factory.mktemp("heldout"), heldout_tasks=["rotation"])


@pytest.fixture(scope="session")
def page(small):
    path = small.folder / "atlas.html"
    interactive_atlas(**small.arguments, out=path, run=EVIL)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
