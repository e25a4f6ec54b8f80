"""Archives that try to escape, to lie or to explode; and honest ones."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.archives.extract import check_npz, extract

FILES = {"a.txt": b"one", "sub/b.bin": bytes(range(256)) * 300, "sub/deep/c": b""}
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
MIRROR = REPOSITORY.parent / "shared" / "mirror"


def make_zip(path: Path, members, method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members, mode="w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make(tmp_path: Path, kind: str, members) -> Path:
    path = tmp_path / f"x.{kind}"
    return make_zip(path, members) if kind == "zip" else make_tar(path, members, TARS[kind])


def refused(archive: Path, **limits) -> str:
    """Message of the refusal; nothing may be left or have escaped."""
    folder = archive.parent / "out" / "folder"
    before = {path for path in archive.parent.iterdir() if path.name != "out"}
    with pytest.raises(DataError) as caught:
        extract(archive, folder, **limits)
    assert str(archive) in caught.value.problem
    assert caught.value.remedy
    assert not folder.exists()
    assert not folder.parent.exists() or list(folder.parent.iterdir()) == []
    assert {path for path in archive.parent.iterdir() if path.name != "out"} == before
    return caught.value.problem


# --- honest archives ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_whole(tmp_path, kind):
    archive = make(tmp_path, kind, FILES.items())
    archive = archive.rename(tmp_path / "no_suffix_needed")
    folder = tmp_path / "new" / "folder"
    found = extract(archive, folder)
    assert found == sorted(folder / name for name in FILES)
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in found} == FILES
    assert [p.name for p in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_plain_oddities_are_fine(tmp_path, kind):
    odd = ["./dot/a", "with space/ü.txt", "日本/画像.png", "10:30", "..a", "b..", "con_1", "d/./e"]
    found = extract(make(tmp_path, kind, [(name, b"x") for name in odd]), tmp_path / "out")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in found}
    assert names == {"dot/a", *odd[1:-1], "d/e"}


def test_folders_and_rights(tmp_path):
    entry = tarfile.TarInfo("run")
    entry.mode, entry.uid = 0o6777, 0
    top, empty = tarfile.TarInfo("."), tarfile.TarInfo("empty")
    top.type = empty.type = tarfile.DIRTYPE
    archive = make_tar(tmp_path / "x.tar", [(top, b""), (empty, b""), (entry, b"x")])
    (found,) = extract(archive, tmp_path / "out")
    assert found.stat().st_mode & 0o7111 == 0
    assert (tmp_path / "out" / "empty").is_dir()
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize(
    ("raw", "name"), [("ü".encode(), "ü"), (b"\x81", "ü"), (b"\xff\xfe", "\xa0■")]
)
def test_zip_names_without_the_utf8_flag(tmp_path, raw, name):
    archive = make_zip(tmp_path / "x.zip", [("?" * len(raw), b"x")])
    archive.write_bytes(archive.read_bytes().replace(b"?" * len(raw), raw))
    (found,) = extract(archive, tmp_path / "out")
    assert found.name == name


def test_existing_folder(tmp_path):
    archive = make_zip(tmp_path / "x.zip", FILES.items())
    folder = tmp_path / "out"
    folder.mkdir()
    extract(archive, folder)  # empty: taken
    (folder / "a.txt").write_bytes(b"mine")
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        extract(archive, folder)
    assert (folder / "a.txt").read_bytes() == b"mine"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        extract(archive, tmp_path / "link")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_beside_the_archive_do_not_matter(tmp_path, kind):
    (tmp_path / "sub").symlink_to("/")
    assert len(extract(make(tmp_path, kind, FILES.items()), tmp_path / "out")) == len(FILES)


def test_left_over_of_a_killed_process_does_not_get_in(tmp_path):
    left = tmp_path / f".out.{os.getpid()}.tmp"
    left.mkdir()
    (left / "stranger").write_text("x")
    extract(make_zip(tmp_path / "x.zip", FILES.items()), tmp_path / "out")
    assert not (tmp_path / "out" / "stranger").exists()
    assert not left.exists()


# --- names --------------------------------------------------------------------------------------

BAD_NAMES = [
    ("/etc/passwd", "absolute path"),
    ("//host/share", "absolute path"),
    ("C:/windows/x", "absolute path"),
    ("c:x", "absolute path"),
    ("../x", "leads out of the folder"),
    ("a/../../x", "leads out of the folder"),
    ("a/..", "leads out of the folder"),
    ("..\\x", "back-slash"),
    ("a\\b", "back-slash"),
    ("CON", "reserved name"),
    ("a/nul.txt", "reserved name"),
    ("lpt1.tar.gz", "reserved name"),
    ("a\nb", "control characters"),
    ("a\u202egnp.exe", "control characters"),
    ("\u2066a\u2069", "control characters"),
    ("x" * 256, "longer than 255 bytes"),
    ("a/" * 70 + "b", "deeper than 64 folders"),
]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(("name", "reason"), BAD_NAMES, ids=[r[:8] + n[:8] for n, r in BAD_NAMES])
def test_names_that_are_refused(tmp_path, kind, name, reason):
    said = refused(make(tmp_path, kind, [("good", b"x"), (name, b"x")]))
    assert f"member {name!r}: " in said
    assert reason in said


def test_null_byte_in_a_name(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("good.txt?.exe", b"x")])
    archive.write_bytes(archive.read_bytes().replace(b"txt?", b"txt\0"))
    assert "control characters" in refused(archive)


def test_names_that_are_not_utf8(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("ü?", b"x")])  # has the flag
    archive.write_bytes(archive.read_bytes().replace("ü?".encode(), b"\xff\xfe?"))
    assert "not the UTF-8 it claims to be" in refused(archive)
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("\udcff"))
    (tmp_path / "x.zip").unlink()
    assert "its name is not UTF-8" in refused(tmp_path / "x.tar")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a", "b/c", "a"), "two members of this name"),
        (("a/b", "./a//b"), "two members of this name"),
        (("A.png", "a.PNG"), "the same on some systems"),
        (("Sub/x", "sub/y"), "the same on some systems"),
        (("\u00fc", "u\u0308"), "the same on some systems"),
        (("STRASSE", "straße"), "the same on some systems"),
        (("a", "a."), "the same on some systems"),
        (("a", "a/b"), "is a file and a folder"),
        (("a/b", "a"), "is a file and a folder"),
    ],
)
def test_names_that_fall_together(tmp_path, kind, names, reason):
    assert reason in refused(make(tmp_path, kind, [(name, b"x") for name in names]))


# --- links and devices --------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["/etc/passwd", "../../x", "inside"])
@pytest.mark.parametrize(
    ("kind", "what"), [(tarfile.SYMTYPE, "a symbolic link"), (tarfile.LNKTYPE, "a hard link")]
)
def test_links_in_a_tar(tmp_path, kind, what, to):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, to
    archive = make_tar(tmp_path / "x.tar", [("inside", b"x"), (link, b""), ("link/x", b"x")])
    said = refused(archive)
    assert f"member 'link' is {what} (to {to!r})" in said


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_in_a_tar(tmp_path, kind):
    device = tarfile.TarInfo("dev")
    device.type = kind
    assert "member 'dev' is a device" in refused(make_tar(tmp_path / "x.tar", [(device, b"")]))


@pytest.mark.parametrize(
    ("mode", "what"), [(0o120777, "a symbolic link"), (0o010644, "a device or a pipe")]
)
def test_links_and_pipes_in_a_zip(tmp_path, mode, what):
    info = zipfile.ZipInfo("link")
    info.external_attr = mode << 16
    assert f"member 'link' is {what}" in refused(make_zip(tmp_path / "x.zip", [(info, "/etc")]))


# --- bombs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_limits(tmp_path, kind):
    archive = make(tmp_path, kind, [("a", bytes(1 << 20)), ("b", bytes(1 << 20))])
    assert "at member 'b'" in refused(archive, max_bytes=(1 << 20) + 5, max_ratio=1e9)
    assert "more than 1 members" in refused(archive, max_files=1, max_ratio=1e9)
    said = refused(archive, max_ratio=100)
    assert "more than 100 bytes a packed byte (at member 'a')" in said
    assert len(extract(archive, tmp_path / "meant", max_ratio=1e9)) == 2


def test_many_small_members_count_together(tmp_path):
    archive = make(tmp_path, "tar.xz", [(str(k), bytes(60_000)) for k in range(40)])
    assert "bytes a packed byte" in refused(archive, max_ratio=400)


def edit(archive: Path, offset_from_end_of: bytes, at: int, fmt: str, value: int) -> None:
    """Overwrite a field of the last record that begins with a signature."""
    data = bytearray(archive.read_bytes())
    struct.pack_into(fmt, data, data.rindex(offset_from_end_of) + at, value)
    archive.write_bytes(data)


def test_size_that_lies_downwards(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a", bytes(1 << 20))])
    edit(archive, b"PK\x01\x02", 24, "<I", 100)
    assert "member 'a' is damaged" in refused(archive)


def test_size_that_lies_upwards(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a", b"x" * 50)])
    edit(archive, b"PK\x01\x02", 24, "<I", 60)
    assert "member 'a' is damaged" in refused(archive)


def test_members_that_share_their_bytes(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a", bytes(9000)), ("b", bytes(9000))])
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"b", b"a"))
    edit(archive, b"PK\x01\x02", 42, "<I", 0)  # the second entry points at the first member
    assert "overlaps another" in refused(archive)


def test_long_name_bomb_is_not_read_into_memory(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    raw = header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16)
    (tmp_path / "x.tar").write_bytes(raw)
    begun = time.monotonic()
    assert "has a header of 8589934592 bytes" in refused(tmp_path / "x.tar")
    assert time.monotonic() - begun < 2


def test_methods_whose_output_is_not_bounded(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a", b"x")], zipfile.ZIP_BZIP2)
    assert "packed by method 12" in refused(archive)


def test_encrypted(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a", b"x")])
    edit(archive, b"PK\x01\x02", 8, "<H", 1)
    assert "member 'a' is encrypted" in refused(archive)


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_truncated_anywhere(tmp_path, kind):
    noise = np.random.default_rng(0).bytes(3000)
    whole = make(tmp_path, kind, [("a", b"x" * 700), ("b", noise), ("c", b"y")]).read_bytes()
    path = tmp_path / f"x.{kind}"
    end = len(whole)
    if kind == "tar":
        end = whole.rindex(b"y") + 512  # what follows is the end mark and padding
    for stop in [1, 30, 400, 512, 1500, 2048, 3000, end // 2, end - 30, end - 9, end - 1]:
        if stop < len(whole):
            path.write_bytes(whole[:stop])
            assert refused(path), stop


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_one_flipped_bit(tmp_path, kind):
    noise = np.random.default_rng(0).bytes(5000)
    path = make(tmp_path, kind, [("a", noise)])
    data = bytearray(path.read_bytes())
    data[2500] ^= 16
    path.write_bytes(data)
    assert "damaged" in refused(path)


def test_crc(tmp_path):
    path = make_zip(tmp_path / "x.zip", [("good", b"x"), ("a", b"content")], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"Content"))
    assert "member 'a' is damaged (Bad CRC-32" in refused(path)


def test_damaged_header_in_the_middle_is_no_end(tmp_path):
    path = make_tar(tmp_path / "x.tar", [("a", b"x"), ("b", b"y"), ("c", b"z")])
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 1  # in the checksum of b's header
    path.write_bytes(data)
    assert "truncated or damaged at byte 1024" in refused(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no zip or tar archive"),
        (b"<html><title>Sign in</title>", 'is no zip or tar archive: it begins with "Sign in"'),
        (b"\x1f\x8b\x08\x00" + bytes(20), "damaged or truncated"),
        (b"PK\x03\x04" + bytes(100), "damaged or truncated"),
        (zlib.compress(b"x"), "is no zip or tar archive"),
    ],
)
def test_no_archive(tmp_path, data, reason):
    (tmp_path / "x.bin").write_bytes(data)
    assert reason in refused(tmp_path / "x.bin")


def test_compressed_file_that_is_no_tar(tmp_path):
    import gzip

    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"n+1" * 1000))
    assert "no tar archive" in refused(tmp_path / "x.nii.gz")


def test_missing(tmp_path):
    assert "cannot be read: No such file" in refused(tmp_path / "x.zip")


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    from medtaskatlas.datasets.archives import extract as module

    def stop(*_):
        raise KeyboardInterrupt

    archive = make_zip(tmp_path / "x.zip", FILES.items())
    monkeypatch.setattr(module._Budget, "spend", stop)
    with pytest.raises(KeyboardInterrupt):
        extract(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


def test_full_disk(tmp_path, monkeypatch):
    from medtaskatlas.datasets.archives import extract as module

    def full(*_):
        raise OSError(28, "No space left on device")

    archive = make_zip(tmp_path / "x.zip", FILES.items())
    monkeypatch.setattr(module._Budget, "spend", full)
    with pytest.raises(DataError, match="disk is full: could not unpack"):
        extract(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


# --- npz ----------------------------------------------------------------------------------------


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz_refused(path: Path, **limits) -> str:
    with pytest.raises(DataError) as caught:
        check_npz(path, **limits)
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_blank_images_are_honest(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, train_images=np.zeros((800, 128, 128), np.uint8), train_labels=np.zeros((0, 1)))
    check_npz(path)
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    if save is np.savez_compressed:  # the rule must leave room for this
        assert info.file_size / info.compress_size > 1000


@pytest.mark.parametrize("dtype", [object, [("a", "i4"), ("b", "O")]])
def test_objects(tmp_path, dtype):
    array = np.zeros(3, dtype)
    path = make_zip(tmp_path / "x.npz", [("good.npy", npy(np.ones(2))), ("bad.npy", npy(array))])
    assert "member 'bad.npy' holds Python objects" in npz_refused(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("code.py", "is no .npy"),
        (".npy", "is no .npy"),
        ("sub/a.npy", "has a name with folders"),
        ("../a.npy", "has a name with folders"),
        ("/a.npy", "has a name with folders"),
        ("a\\b.npy", "has a name with folders"),
    ],
)
def test_npz_names(tmp_path, name, reason):
    path = make_zip(tmp_path / "x.npz", [("good.npy", npy(np.ones(2))), (name, npy(np.ones(2)))])
    assert f"member {name!r} {reason}" in npz_refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_duplicates(tmp_path):
    path = make_zip(tmp_path / "x.npz", [("a.npy", npy(np.ones(2)))] * 2)
    assert "member 'a.npy' is there twice" in npz_refused(path)


def test_npz_limits(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(1 << 20, np.uint8), b=np.zeros(9, np.uint8))
    assert "at member 'a.npy'" in npz_refused(path, max_bytes=1 << 20)
    assert "looks like a bomb" in npz_refused(path, max_ratio=900)


def test_npz_that_declares_more_than_deflate_can_hold(tmp_path):
    path = make_zip(tmp_path / "x.npz", [("a.npy", npy(np.zeros(1000, np.uint8)))])
    edit(path, b"PK\x01\x02", 24, "<I", 1 << 31)
    assert "member 'a.npy' unpacks" in npz_refused(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no array"),
        (b"not an array", "is no array"),
        (npy(np.ones(4))[:40], "is no array"),
        (npy(np.ones(4))[:-1], "though its header wants"),
        (npy(np.ones(4)) + b"more", "though its header wants"),
        (npy(np.ones(4)).replace(b"(4,)", b"(9,)"), "though its header wants"),
        (npy(np.ones(4)).replace(b"(4,), ", b"(-4,),"), "impossible shape"),
        (npy(np.ones(4)).replace(b"'<f8'", b"'|O8'"), "is no array"),
        (npy(np.ones(4)).replace(b"\x01\x00", b"\x07\x00", 1), "npy version (7, 0)"),
    ],
)
def test_npz_arrays_that_are_none(tmp_path, data, reason):
    path = make_zip(tmp_path / "x.npz", [("a.npy", data)])
    said = npz_refused(path)
    assert "member 'a.npy'" in said
    assert reason in said or "Python objects" in said


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"<!DOCTYPE html><title>Too many requests</title>")
    assert '"Too many requests"' in npz_refused(path)
    make_tar(path, [("a.npy", b"")], "w:gz")
    assert "is no npz file" in npz_refused(path)
    make_zip(path, [])
    assert "holds no array" in npz_refused(path)
    np.savez(path, a=np.ones(100))
    path.write_bytes(path.read_bytes()[:-30])
    assert "damaged or truncated" in npz_refused(path)


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is absent")
def test_published_npz():
    paths = sorted(MIRROR.rglob("*.npz"))
    assert paths
    for path in paths:
        check_npz(path)
