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
    "config/README.md": "configuration.md",
    "slurm/README.md": "your_cluster.md",
}
FILES = "files"
_TAKEN = re.compile(r"^<!-- from (\S+?)(?:: (.+?))?(, if there)? -->$", re.M)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")
_HEADING = re.compile(r"^(#+ )", re.M)
_CODE = re.compile(r"(^ *```.*?^ *```|``.+?``|`[^`\n]+`)", re.M | re.S)


def taken_in(text: str, page: str, root: Path) -> str:
    """A page with the texts that it takes in.

    Parameters
    ----------
    text
        Markdown of the page.
    page
        Where it is, from docs/.
    root
        The repository.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    DataError
        If a text or a section of it is not there.
    """

    def take(found: re.Match[str]) -> str:
        name, heading, optional = found.groups()
        file = root / name
        if optional and not file.exists():
            return ""
        if not file.exists():
            raise DataError(f"docs/{page} takes in {name}, which is not there", "mend that line")
        text = moved(section(file.read_text(), heading, name), name, page, root)
        # A whole text stands under a heading of the page.
        return text if heading else _outside_code(text, lambda part: _HEADING.sub(r"#\1", part))

    return _TAKEN.sub(take, text)


def section(text: str, heading: str | None, name: str = "the text") -> str:
    """A part of a Markdown text.

    Parameters
    ----------
    text
        Markdown with one title.
    heading
        Of a section of the second level; ``top``: what stands above the first; None: all but the
        title.
    name
        Of the text, for the error.

    Returns
    -------
    str
        Markdown without the title and without the heading of the section.

    Raises
    ------
    DataError
        If there is no such section.
    """
    # A comment in code is no heading.
    masked = _in_code(text, lambda code: code.replace("\n#", "\n\0"))
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
    """A text whose relative links still lead where they led.

    Parameters
    ----------
    text
        Markdown.
    origin
        The file that it was written in, from the root of the repository.
    page
        The page that it is shown on, from docs/.
    root
        The repository.

    Returns
    -------
    str
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
    return _outside_code(text, lambda part: _LINK.sub(follow, part).replace("][", "]\\["))


def repository_files(text: str, page: str) -> set[str]:
    """Files of the repository, outside of docs/, that a page links to.

    Parameters
    ----------
    text
        Markdown, its links moved.
    page
        Where it is, from docs/.

    Returns
    -------
    set of str
        Paths from the root of the repository.
    """
    found: set[str] = set()

    def look(part: str) -> str:
        for link in _LINK.finditer(part):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link[1]))
            if target.startswith(f"{FILES}/"):
                found.add(target.removeprefix(f"{FILES}/"))
        return part

    _outside_code(text, look)
    return found


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change what is not code."""
    parts = _CODE.split(text)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def _in_code(text: str, change: Callable[[str], str]) -> str:
    """Change what is code."""
    parts = _CODE.split(text)
    return "".join(change(part) if i % 2 else part for i, part in enumerate(parts))
