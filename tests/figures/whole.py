"""What every figure owes: whole files, the same twice, and clear words about a bad table."""

import xml.etree.ElementTree as ElementTree

import cv2
import pytest

from medtaskatlas.core.errors import DataError


def text_of(draw, folder, words=()) -> str:
    """Draw to two pairs of (svg, png) files, which must be whole and equal; text of the SVG.

    matplotlib leaves each text as a comment next to its outlines; all `words` must be there.
    """
    pairs = [(folder / name / "f.svg", folder / name / "f.png") for name in ("new", "again")]
    for svg, png in pairs:
        draw(svg, png)
    text = pairs[0][0].read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for word in words:
        assert word in text, word
    picture = cv2.imread(str(pairs[0][1]))
    assert min(picture.shape[:2]) > 100
    assert picture.std() > 5
    for one, other in zip(*pairs, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert not list(folder.rglob("*.tmp"))
    return text


def refuses_a_bad_table(draw, path) -> None:
    """A table that is missing or no table is named; `draw` takes (svg, png) and reads `path`."""
    out = path.with_name("a.svg"), path.with_name("a.png")
    with pytest.raises(DataError, match=rf"{path.name} is missing"):
        draw(*out)
    path.write_bytes(b"not a table")
    with pytest.raises(DataError, match=rf"{path.name} is damaged"):
        draw(*out)
