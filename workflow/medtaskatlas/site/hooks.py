"""Hooks of MkDocs, named in mkdocs.yml: what `mkdocs build --strict` does not do by itself.

Pages that lie outside of docs/ (README, the manual of the configuration) and the reference of the
Python API are brought in while the site is built, so that nothing is written twice; formulas become
pictures, so that the site needs no network.
"""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.site import api
from medtaskatlas.site.links import FILES, moved, repository_files, section, taken_in
from medtaskatlas.site.math import drawn

PACKAGE = REPOSITORY / "workflow" / "medtaskatlas"
# Pages of numbers: found by the navigation, not by every search for a word.
UNSEARCHED = ("results/", "benchmarks/")
# Pages that are one wide table: it takes the place of a table of contents, which would be empty.
WIDE = ("datasets.md", "tasks.md", "dataset_yaml.md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the reference of the API into the last entry of the navigation."""
    assert config.nav is not None  # for mypy: mkdocs.yml has one
    config.nav = [*config.nav[:-1], {next(iter(config.nav[-1])): api.nav(PACKAGE)}]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the manual of the configuration and the reference of the API."""
    manual = (REPOSITORY / "config" / "README.md").read_text()
    text = moved(section(manual, None), "config/README.md", "configuration.md", REPOSITORY)
    made = {"configuration.md": f"# Configuration\n\n{text}\n", **api.pages(PACKAGE)}
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take in texts, move links, and add the files of the repository that they lead to."""
    name = page.file.src_uri
    if name.startswith(UNSEARCHED):
        page.meta["search"] = {"exclude": True}
    if name in WIDE:
        page.meta["hide"] = ["toc"]
    text = taken_in(moved(markdown, f"docs/{name}", name, REPOSITORY), name, REPOSITORY)
    for path in sorted(repository_files(text, name)):
        target = f"{FILES}/{path}"
        if files.get_file_from_path(target) is None:
            files.append(File.generated(config, target, abs_src_path=str(REPOSITORY / path)))
    return text


def on_page_content(html: str, **_: Any) -> str:
    """Draw the formulas of a page."""
    return drawn(html)
