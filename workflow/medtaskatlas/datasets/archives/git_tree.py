"""Git's name of the content of a folder: archives of a commit differ in bytes, their trees do not.

https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def tree_id(folder: Path) -> str:
    """SHA-1 of a folder as a Git tree, 40 hexadecimal digits; no file of it is executable."""
    return _tree(folder).hex()


def _tree(folder: Path) -> bytes:
    """SHA-1 of a folder: the names and hashes of what is in it; a folder sorts as if with `/`."""
    entries = []
    for path in folder.iterdir():
        name = path.name.encode()
        if path.is_dir():
            entries.append((name + b"/", b"40000 " + name + b"\0" + _tree(path)))
        else:
            blob = _sha1(b"blob", path.read_bytes())
            entries.append((name, b"100644 " + name + b"\0" + blob))
    return _sha1(b"tree", b"".join(entry for _, entry in sorted(entries)))


def _sha1(kind: bytes, content: bytes) -> bytes:
    """SHA-1 of a Git object; it finds damage here and guards nothing."""
    header = kind + b" %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).digest()
