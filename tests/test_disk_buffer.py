"""Pixels that wait on the disk end up in the file as if they had been an array."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.disk_buffer import CHUNK_BYTES, DiskBuffer


def buffered(tmp_path, rows):
    buffer = DiskBuffer(tmp_path, rows.shape[1:], rows.dtype.type)
    for row in rows:
        buffer.append(row)
    return buffer


@pytest.fixture
def rows():
    return np.random.default_rng(0).integers(0, 999, (23, 5, 7), dtype=np.uint16)


@pytest.mark.parametrize("kept", [None, [0], [3, 4, 5, 9, 22], [], list(range(0, 23, 2))])
def test_same_file_as_from_an_array(tmp_path, rows, kept):
    other = np.arange(23, dtype=np.int32) if kept is None else np.array(kept, np.int32)
    buffer = buffered(tmp_path / "buffer", rows).select(kept)
    write_arrow(tmp_path / "a.arrow", {"n": other, "x": buffer}, {"k": 1})
    array = rows if kept is None else rows[kept]
    write_arrow(tmp_path / "b.arrow", {"n": other, "x": array}, {"k": 1})
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    np.testing.assert_array_equal(ArrowFile(tmp_path / "a.arrow").numpy("x"), array)


def test_chunks_are_the_selected_rows(tmp_path):
    wide = np.random.default_rng(0).integers(0, 255, (9, CHUNK_BYTES // 3), dtype=np.uint8)
    buffer = buffered(tmp_path, wide).select([0, 1, 2, 3, 4, 6, 8])
    parts = list(buffer.chunks())
    assert max(len(part) for part in parts) == 3
    np.testing.assert_array_equal(np.concatenate(parts), wide[[0, 1, 2, 3, 4, 6, 8]])
    np.testing.assert_array_equal(buffer.row(5), wide[6])


def test_nothing_is_left_on_the_disk(tmp_path, rows):
    buffer = buffered(tmp_path, rows)
    assert list(tmp_path.iterdir()) == []
    buffer.close()


def test_another_shape_is_a_mistake(tmp_path, rows):
    buffer = buffered(tmp_path, rows)
    with pytest.raises(ValueError, match="is no uint16"):
        buffer.append(rows[0].astype(np.uint8))
    with pytest.raises(ValueError, match=r"\(5, 6\)"):
        buffer.append(rows[0][:, :6])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Half a gigabyte of pixels, some ten megabytes of memory."""
    code = f"""
import re, numpy as np
from pathlib import Path
from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.formats.disk_buffer import DiskBuffer
# Not getrusage: that of a child begins with the peak of its parent.
peak = lambda: int(re.search("VmHWM:[^0-9]+([0-9]+)", Path("/proc/self/status").read_text())[1])
buffer = DiskBuffer({str(tmp_path)!r}, (512, 1024), np.uint8)
row = np.arange(512 * 1024).reshape(512, 1024).astype(np.uint8)
before = peak()
for _ in range(1000):
    buffer.append(row)
write_arrow({str(tmp_path / "x.arrow")!r}, {{"x": buffer.select()}}, {{}})
print((peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (tmp_path / "x.arrow").stat().st_size > 500 << 20
    assert int(done.stdout) < 64
