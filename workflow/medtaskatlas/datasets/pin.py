"""Write versions, hashes and sizes of the installed package files into a catalogue file.

``python -m medtaskatlas.datasets.pin config/datasets/embedded.yaml`` changes the lines of `files`
in place and nothing else, so comments stay.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

from medtaskatlas.core.files import atomic_write, sha256
from medtaskatlas.datasets.sources.packaged import PackageFile, package_path

# One file a line: - {package: p, version: v, path: a/b.c, sha256: ..., bytes: n}
_LINE = re.compile(
    r"^(?P<head>\s*- \{package: (?P<package>[^,]+), )"
    r"(?:version: [^,]+, )?path: (?P<path>[^,}]+)(?:, sha256: [^,}]+, bytes: \d+)?(?P<tail>.*)$"
)


def pin(text: str) -> str:
    """Text of a catalogue file with version, sha256 and bytes of package files as installed here.

    A DataError if a package is not installed, a FileNotFoundError if it lacks a file.
    """
    return "\n".join(_pinned(line) for line in text.split("\n"))


def _pinned(line: str) -> str:
    """One line, pinned if it names a package file."""
    match = _LINE.match(line)
    if match is None:
        return line
    package, path = match["package"], match["path"].strip()
    installed = version(package)
    blank = PackageFile(package=package, version=installed, path=path, sha256="0" * 64, bytes=1)
    found = package_path(blank)
    return (
        f"{match['head']}version: {installed}, path: {path}, "
        f"sha256: {sha256(found)}, bytes: {found.stat().st_size}{match['tail']}"
    )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        catalogue = Path(argument)
        pinned = pin(catalogue.read_text())
        with atomic_write(catalogue) as part:
            part.write_text(pinned)
