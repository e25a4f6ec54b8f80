"""Pages of the site that are made from texts elsewhere in the repository, their links moved along.

A page takes a text in with a line of its own, which readers of the bare file do not see::

    <!-- from README.md: Start -->
    <!-- from README.md: top -->
    <!-- from slurm/README.md, if there -->

that is a section, what stands between the title and the first section, or all but the title, its
headings a level lower.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from medtaskatlas.core.errors import DataError

# Where texts that lie outside of docs/ are in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "config/README.md": "configuration.md",
    "slurm/README.md": "your_cluster.md",
}
FILES = "files"
_TAKEN = re.compile(r"^<!-- from (\S+?)(?:: (.+?))?(, if there)? -->$", re.M)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")
_HEADING = re.compile(r"^(#+ )", re.M)
_CODE = re.compile(r"(^ *```.*?^ *```|``.+?``|`[^`\n]+`)", re.M | re.S)


def taken_in(text: str, page: str, root: Path) -> str:
    """A page, a path from docs/, with the texts that it takes in from the repository."""

    def take(found: re.Match[str]) -> str:
        name, heading, optional = found.groups()
        file = root / name
        if optional and not file.exists():
            return ""
        if not file.exists():
            raise DataError(f"docs/{page} takes in {name}, which is not there", "mend that line")
        text = moved(section(file.read_text(), heading, name), name, page, root)
        # A whole text stands under a heading of the page.
        return text if heading else _changed(text, lambda part: _HEADING.sub(r"#\1", part))

    return _TAKEN.sub(take, text)


def section(text: str, heading: str | None, name: str = "the text") -> str:
    """A section of a Markdown text with one title; ``top``: what stands above the first; None: all.

    Without the title and without the heading of the section.
    """
    # A comment in code is no heading.
    masked = _changed(text, lambda code: code.replace("\n#", "\n\0"), code=True)
    parts = [part.replace("\0", "#") for part in re.split(r"^## (.+)$", masked, flags=re.M)]
    top = re.sub(r"\A(?:<!--.*?-->\s*)?# .+\n", "", parts[0])
    if heading is None:
        rest = zip(parts[1::2], parts[2::2], strict=True)
        return (top + "".join(f"## {title}{body}" for title, body in rest)).strip()
    if heading == "top":
        return top.strip()
    if heading not in parts[1::2]:
        raise DataError(f"{name} has no section {heading!r}", f"it has: {', '.join(parts[1::2])}")
    return parts[2 * parts[1::2].index(heading) + 2].strip()


def moved(text: str, origin: str, page: str, root: Path) -> str:
    """A text whose relative links still lead where they led from its file in the repository.

    Links to pages lead to pages; links to other files of the repository into :data:`FILES`.
    """

    def follow(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if target in ELSEWHERE:
            target = ELSEWHERE[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif (root / target).is_file():
            target = f"{FILES}/{target}"
        else:
            return found[0]
        return posixpath.relpath(target, posixpath.dirname(page) or ".") + anchor

    # `label[,group][,split]` is no reference; no text here has links of that kind.
    return _changed(text, lambda part: _LINK.sub(follow, part).replace("][", "]\\["))


def repository_files(text: str, page: str) -> set[str]:
    """Files of the repository, outside of docs/, that a page with moved links leads to."""
    links = (link[1] for part in _CODE.split(text)[::2] for link in _LINK.finditer(part))
    targets = (posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for link in links)
    return {t.removeprefix(f"{FILES}/") for t in targets if t.startswith(f"{FILES}/")}


def _changed(text: str, change: Callable[[str], str], *, code: bool = False) -> str:
    """Change what is not code, or what is."""
    parts = _CODE.split(text)
    return "".join(change(part) if i % 2 == code else part for i, part in enumerate(parts))
