"""Names in archives: only those that stay in the folder and mean the same on every system."""

from __future__ import annotations

import re
import unicodedata

DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)", re.IGNORECASE)
DEEPEST = 64


def parts_of(name: str) -> tuple[str, ...]:
    """Parts of a member's name.

    Parameters
    ----------
    name
        As the archive has it, with slashes.

    Returns
    -------
    tuple of str
        Without ``.`` and empty parts; empty for the archive's own top folder.

    Raises
    ------
    ValueError
        Says in a clause what is wrong with the name.
    """
    if not name:
        raise ValueError("its name is empty")
    if "\\" in name:
        raise ValueError("its name has a back-slash, which is a folder on some systems")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise ValueError("its name is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError("its name leads out of the folder (..)")
    if len(parts) > DEEPEST:
        raise ValueError(f"it lies deeper than {DEEPEST} folders")
    for part in parts:
        try:
            length = len(part.encode())
        except UnicodeEncodeError:
            raise ValueError("its name is not UTF-8") from None
        if length > 255:
            raise ValueError("its name is longer than 255 bytes")
        if any(unicodedata.category(letter) == "Cc" for letter in part):
            raise ValueError("its name has control characters")
        if DEVICES.fullmatch(part.partition(".")[0].rstrip(" ")):
            raise ValueError(f"{part!r} is a reserved name on Windows")
    return parts


class Names:
    """The names given so far; tells those that fall together on some file system.

    Names that differ in case, in the form of their accents, or in dots and spaces at their end
    are the same file on some systems.
    """

    def __init__(self) -> None:
        self._spelt: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}
        self._files: set[tuple[str, ...]] = set()

    def add(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        """Take a name.

        Parameters
        ----------
        parts
            Of its path.
        is_folder
            Whether a folder is meant; the folders above are taken too.

        Raises
        ------
        ValueError
            If it falls together with one that was taken before.
        """
        for depth in range(1, len(parts) + 1):
            path, folder = parts[:depth], is_folder or depth < len(parts)
            other, was_folder = self._spelt.setdefault(_key(path), (path, folder))
            if other != path:
                raise ValueError(
                    f"its name and {'/'.join(other)} are the same on some systems (case, accents)"
                )
            if folder != was_folder:
                raise ValueError(f"{'/'.join(path)} is a file and a folder")
        if not is_folder:
            if parts in self._files:
                raise ValueError("there are two members of this name")
            self._files.add(parts)


def _key(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold()).rstrip(" .")
        for part in path
    )
