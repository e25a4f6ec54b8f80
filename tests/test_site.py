"""The site of the documentation: whole, without a warning, readable without a network."""

import ast
import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from interactive.browser import opened

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.site import api as docs_api
from medtaskatlas.site.links import moved, section, taken_in
from medtaskatlas.site.math import drawn, picture

pytestmark = pytest.mark.system

DOCS = REPOSITORY / "docs"
PACKAGE = REPOSITORY / "workflow" / "medtaskatlas"
SECONDS = 60  # of CPU time
# What a browser fetches by itself; a link that must be clicked may lead anywhere.
FETCHED = {
    "script": ["src"], "link": ["href"], "img": ["src", "srcset"], "iframe": ["src"],
    "source": ["src", "srcset"], "video": ["src", "poster"], "audio": ["src"], "embed": ["src"],
    "object": ["data"], "form": ["action"], "use": ["href", "xlink:href"], "image": ["href"],
}  # fmt: skip


class Tags(HTMLParser):
    """Names, links and fetched addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names, self.links, self.fetched, self.classes = set(), [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = {key: value or "" for key, value in attrs}
        self.names |= {attrs[key] for key in ("id", "name") if key in attrs}
        self.classes |= set(attrs.get("class", "").split())
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        self.fetched += [attrs[key] for key in FETCHED.get(tag, []) if key in attrs]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, what was said while it was built, and the CPU time that it took."""
    site = tmp_path_factory.mktemp("site") / "site"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return site, done.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def pages(built):
    site = built[0]
    return {path.relative_to(site): Tags(path.read_text()) for path in site.rglob("*.html")}


def test_it_builds_without_a_warning_and_soon(built):
    _, said, seconds = built
    assert "Documentation built" in said
    assert "WARNING" not in said
    assert seconds < SECONDS


def test_nothing_is_asked_of_another_host(built, pages):
    away = re.compile(r"^\s*(?:[a-z]+:)?//", re.I)
    asked = {(str(p), url) for p, tags in pages.items() for url in tags.fetched if away.match(url)}
    assert asked == set()
    for path in built[0].rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"]+)", path.read_text())
        assert found == [], path.name
    # The scripts of the theme fetch a library for diagrams, and numbers for a repository.
    assert not any({"mermaid", "md-source"} & tags.classes for tags in pages.values())


def test_internal_links_and_their_anchors_are_there(built, pages):
    site = built[0]
    broken = []
    for page, tags in pages.items():
        if page.name == "404.html":  # served from any folder: its addresses begin at the root
            continue
        for link in [*tags.links, *tags.fetched]:
            if re.match(r"[a-z]+:|//", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (site / page.parent / path).resolve() if path else site / page
            if target.is_dir():
                target /= "index.html"
            there = target.is_file()
            if there and anchor and target.suffix == ".html":
                there = anchor in pages[target.relative_to(site)].names
            if not there:
                broken.append((str(page), link))
    assert broken == []


def _leaves(entry):
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [leaf for value in values for leaf in _leaves(value)]


def test_every_page_of_docs_is_in_the_navigation(built):
    nav = _leaves(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())["nav"])
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert there - set(nav) == set(), "name it in the `nav` of mkdocs.yml"
    front = (built[0] / "index.html").read_text()
    assert all(name in front for name in ("Tutorials", "Understand", "Results", "Reference"))


def _public(file):
    """Names of the public classes and functions of a module that have a docstring."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, kinds) and not node.name.startswith("_") and ast.get_docstring(node):
            yield node.name


def test_every_public_module_has_its_page_with_its_functions(pages):
    names = docs_api.modules(PACKAGE)
    assert "medtaskatlas.atlas.comparisons.mantel" in names
    missing = []
    for name in names:
        page = Path(docs_api.page_of(name)).with_suffix(".html")
        if page not in pages:
            missing.append(name)
            continue
        base = PACKAGE.parent / name.replace(".", "/")
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        found = [f"{name}.{own}" for own in _public(file) if name != docs_api.PACKAGE]
        missing += [own for own in found if own not in pages[page].names]
    assert missing == []


def test_no_role_and_no_formula_is_left_as_it_was_written(built):
    left = {}
    for path in built[0].rglob("*.html"):
        found = re.findall(r":(?:func|class|math|mod|data):|class=\"arithmatex\"", path.read_text())
        if found:
            left[str(path.relative_to(built[0]))] = found
    assert left == {}
    assert (
        'aria-label="\\omega^2'
        in (built[0] / "api" / "atlas.separation.statistics.html").read_text()
    )


def test_the_home_page_has_the_words_of_the_readme(built):
    text = re.sub(r"<[^>]+>", "", (built[0] / "index.html").read_text())
    shown = section((REPOSITORY / "README.md").read_text(), "What it shows")
    sentence = shown.split("\n\n")[1].split("`")[0]
    assert len(sentence) > 20
    assert " ".join(sentence.split()) in " ".join(text.split())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def _asked(browser):
    """Addresses that a page asked for; fails where it complained."""
    events = browser.drain()
    bad = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [e["params"] for e in events if e["method"] in bad] == []
    requests = (e["params"] for e in events if e["method"] == "Network.requestWillBeSent")
    return {one["request"]["url"].split(":")[0] for one in requests}


def test_pages_and_search_work_from_the_disk(built, browser):
    browser.open(built[0] / "index.html")
    browser.js("document.querySelector('.md-search__input').focus()")
    browser.type("cophenetic")
    link = "document.querySelector('.md-search-result__link[href*=\"statistics.html\"]')"
    browser.wait(f"{link} !== null")
    assert _asked(browser) <= {"file", "data", "blob"}
    for page in ("statistics.html", "api/atlas.separation.statistics.html", "gallery.html"):
        browser.open(built[0] / page)
        assert "file" in _asked(browser) <= {"file", "data", "blob"}


def test_links_lead_where_they_led(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "smoke.yaml").touch()
    text = (
        "[a](docs/tasks.md#x) [b](config/README.md) [c](config/smoke.yaml) [d](https://e.org/f.md) "
        "![e](docs/map.png) [f](#here) `[g](docs/tasks.md)` [h](nowhere.md)"
    )
    assert moved(text, "README.md", "deep/page.md", tmp_path) == (
        "[a](../tasks.md#x) [b](../configuration.md) [c](../files/config/smoke.yaml) "
        "[d](https://e.org/f.md) ![e](../map.png) [f](#here) `[g](docs/tasks.md)` [h](nowhere.md)"
    )


def test_a_page_takes_in_sections(tmp_path):
    (tmp_path / "README.md").write_text(
        "<!-- made -->\n# Title\n\nlead\n\n"
        "## One\n\nfirst\n\n```sh\n## no heading\n```\n\n## Two\n\nlast\n"
    )

    def take(line):
        return taken_in(line, "page.md", tmp_path)

    assert take("<!-- from README.md: top -->") == "lead"
    assert take("<!-- from README.md: One -->") == "first\n\n```sh\n## no heading\n```"
    assert take("<!-- from README.md -->").startswith("lead\n\n### One\n\nfirst\n\n```sh\n## no")
    assert take("<!-- from slurm/README.md, if there -->") == ""
    with pytest.raises(DataError, match=r"README\.md has no section 'Three'\n.*One, Two"):
        take("<!-- from README.md: Three -->")
    with pytest.raises(DataError, match=r"docs/page\.md takes in NEWS\.md, which is not there"):
        take("<!-- from NEWS.md -->")


def test_roles_become_links_code_and_formulas():
    known = {"medtaskatlas.a.f": "[medtaskatlas.a.f]", "medtaskatlas.b": "(b.md)"}
    text = (
        ":func:`f`, :func:`~medtaskatlas.a.f`, :mod:`medtaskatlas.b`, :data:`G`, "
        "int [T][T], :math:`x^2`"
    )
    assert docs_api.as_markdown(text, "medtaskatlas.a", known) == (
        "[`f`][medtaskatlas.a.f], [`f`][medtaskatlas.a.f], [`medtaskatlas.b`](b.md), `G`, "
        "int [T]\\[T], \\(x^2\\)"
    )


def test_a_formula_is_a_picture_in_the_colour_of_the_text():
    html = drawn('<p>a <span class="arithmatex">\\(x &lt; \\frac{1}{2}\\)</span></p>')
    assert html.startswith('<p>a <span class="math"><svg role="img" aria-label="x &lt; \\frac')
    assert "fill" not in html
    with pytest.raises(DataError, match=r"the formula '\\\\nonsense' cannot be drawn"):
        picture(r"\nonsense")
