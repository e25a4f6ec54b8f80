"""Downloads from a server that misbehaves: a target is right, or as it was, and errors help."""

from __future__ import annotations

import email.utils
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from loopback import PROXIES, Reply, Site
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.remote import connection as requesting
from medtaskatlas.datasets.remote import transfer as downloading
from medtaskatlas.datasets.remote.remote_file import RemoteFile as order
from medtaskatlas.datasets.remote.transfer import Limits, transfer
from medtaskatlas.datasets.remote.urls import in_mirror, shown

DATA = b"PK\x03\x04" + random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()
SHA = hashlib.sha256(DATA).hexdigest()
ETAG = {"ETag": '"one"'}
MIRROR = REPOSITORY.parent / "shared" / "mirror"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in &amp; accept</title></head>" + b"x" * 5000


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture
def limits(tmp_path):
    def make(**changes) -> Limits:
        values = {"tries": 3, "backoff": 0.01, "stall": 2.0, "connect": 2.0, "total": 30.0}
        return Limits(**{**values, "slots": tmp_path / "slots", **changes})

    return make


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "x.npz"


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} if target.parent.exists() else set()


def fails(*args, **kwargs) -> str:
    with pytest.raises(DataError) as caught:
        transfer(*args, **kwargs)
    assert caught.value.remedy
    return str(caught.value)


# --- the good way -------------------------------------------------------------------------------


def test_arrives_verified_and_alone(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG))
    transfer(url, target, md5=MD5, sha256=SHA.upper(), size=len(DATA), limits=limits())
    assert target.read_bytes() == DATA
    assert left(target) == {"x.npz"}


def test_right_target_is_left_alone_without_a_request(site, target, limits):
    target.parent.mkdir()
    target.write_bytes(DATA)
    before = target.stat().st_mtime_ns
    transfer(site.url(), target, md5=MD5, limits=limits())
    assert site.asked == []
    assert target.stat().st_mtime_ns == before


def test_wrong_target_is_replaced_only_by_the_right_file(site, target, limits):
    target.parent.mkdir()
    target.write_bytes(b"old")
    url = site.serve(Reply(b"PK neither"), Reply(DATA))
    fails(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == b"old"
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA


def test_wrong_hash_says_all_that_is_needed(site, target, limits):
    url = site.serve(Reply(b"PK other"))
    said = fails(url, target, md5=MD5, magic=(b"PK",), limits=limits(), title="chest")
    found = hashlib.md5(b"PK other").hexdigest()
    assert said.startswith(f"chest: {url}: what came is wrong and was thrown away")
    assert f"expected md5 {MD5}, found {found} (8 bytes)" in said
    assert f"bring it by hand: download {url}" in said
    assert f"put it at {target}" in said
    assert left(target) == set()
    assert len(site.asked) == 1


@pytest.mark.parametrize("key", ["md5", "sha256"])
def test_hash_that_is_none(site, target, key):
    with pytest.raises(ConfigError, match=f"{key} 'abc' is not"):
        transfer(site.url(), target, **{key: "abc"})


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "x.npz", "http://", "http://a:b/c", "http://a/b c"]
)
def test_only_web_addresses(target, url):
    assert "not an http or https URL" in fails(url, target)


# --- broken connections -------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("headers", [ETAG, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}])
def test_goes_on_after_a_broken_connection(site, target, limits, reset, headers):
    replies = [Reply(DATA, headers=headers, stop=n, reset=reset) for n in (100_000, 50_000)]
    url = site.serve(*replies, Reply(DATA, headers=headers))
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA
    assert site.ranges == [None, "bytes=100000-", "bytes=150000-"]
    validator = next(iter(headers.values()), None)
    assert [h.get("If-Range") for _, h in site.asked] == [None, validator, validator]
    assert left(target) == {"x.npz"}


def test_goes_on_in_a_later_call(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, stop=100_000), Reply(DATA, headers=ETAG))
    said = fails(url, target, md5=MD5, limits=limits(tries=1))
    assert "(1 try)" in said
    assert left(target) == {"x.npz.part", ".x.npz.notes.part"}
    transfer(url, target, md5=MD5, limits=limits())
    assert site.ranges == [None, "bytes=100000-"]


def test_goes_on_after_the_process_was_killed_and_its_locks_are_free(site, target, limits):
    site.serve(Reply(DATA, headers=ETAG, piece=10_000, pause=0.1), Reply(DATA, headers=ETAG))
    slots = target.parent.parent / "slots"
    code = f"""
        from pathlib import Path
        from medtaskatlas.datasets.remote.transfer import Limits, transfer
        limits = Limits(per_host=1, slots=Path({str(slots)!r}))
        transfer({site.url()!r}, Path({str(target)!r}), md5={MD5!r}, limits=limits)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    part = target.with_name("x.npz.part")
    end = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 20_000) and time.monotonic() < end:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    came = part.stat().st_size
    assert 20_000 < came < len(DATA)
    assert not target.exists()
    transfer(site.url(), target, md5=MD5, limits=limits(per_host=1))
    assert target.read_bytes() == DATA
    assert site.ranges == [None, f"bytes={came}-"]


def test_killed_before_the_rename_asks_nothing(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, stop=len(DATA) - 1))
    fails(url, target, md5=MD5, limits=limits(tries=1))
    with target.with_name("x.npz.part").open("ab") as handle:
        handle.write(DATA[-1:])
    site.asked.clear()
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA
    assert site.asked == []


def test_changed_remote_file_is_not_glued(site, target, limits):
    new = b"PK" + DATA[::-1]
    url = site.serve(Reply(DATA, headers=ETAG, stop=100_000), Reply(new, headers={"ETag": '"two"'}))
    transfer(url, target, limits=limits())  # no hash: the server's word alone
    assert target.read_bytes() == new
    assert site.asked[1][1]["If-Range"] == '"one"'


@pytest.mark.parametrize("known", [{}, {"md5": hashlib.md5(b"PK" + DATA[::-1]).hexdigest()}])
def test_changed_remote_file_on_a_server_that_ignores_if_range(site, target, limits, known):
    new = b"PK" + DATA[::-1]
    replies = [Reply(new, headers={"ETag": '"two"'}, if_range=False)]
    url = site.serve(Reply(DATA, headers=ETAG, stop=100_000), *replies)
    transfer(url, target, limits=limits(), **known)
    assert target.read_bytes() == new


def test_seam_without_validator_is_told_by_the_hash_and_fetched_anew(site, target, limits):
    new = DATA[:4] + DATA[:3:-1]
    url = site.serve(Reply(DATA, stop=100_000), Reply(new))
    transfer(url, target, md5=hashlib.md5(new).hexdigest(), limits=limits())
    assert target.read_bytes() == new
    assert site.ranges == [None, "bytes=100000-", None]


def test_nothing_to_tell_by_means_starting_anew(site, target, limits):
    url = site.serve(Reply(DATA, stop=100_000), Reply(DATA))
    transfer(url, target, limits=limits())
    assert site.ranges == [None, None]
    assert target.read_bytes() == DATA


def test_weak_etag_is_no_validator(site, target, limits):
    weak = {"ETag": 'W/"one"'}
    url = site.serve(Reply(DATA, headers=weak, stop=100_000), Reply(DATA, headers=weak))
    transfer(url, target, md5=MD5, limits=limits())
    assert "If-Range" not in site.asked[1][1]
    assert target.read_bytes() == DATA


def test_server_that_ignores_ranges_starts_cleanly(site, target, limits):
    replies = [Reply(DATA, headers=ETAG, ranges=False, stop=n) for n in (100_000, None)]
    url = site.serve(*replies)
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("span", ["bytes 5-9/300004", "bytes 100000-300003/999", "nonsense"])
def test_wrong_content_range_is_not_glued(site, target, limits, span):
    wrong = Reply(DATA, headers={**ETAG, "Content-Range": span})
    url = site.serve(Reply(DATA, headers=ETAG, stop=100_000), wrong, Reply(DATA, headers=ETAG))
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA
    assert site.ranges == [None, "bytes=100000-", None]


def test_416_when_the_part_is_whole(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, announce=len(DATA) + 5), Reply(DATA, headers=ETAG))
    transfer(url, target, limits=limits())  # the first answer promised five bytes too many
    assert site.ranges == [None, f"bytes={len(DATA)}-"]
    assert target.read_bytes() == DATA


def test_416_when_the_part_is_too_long(site, target, limits):
    url = site.serve(Reply(DATA + b"more", headers=ETAG, stop=len(DATA) + 2), Reply(DATA))
    fails(url, target, limits=limits(tries=1))
    site.serve(Reply(DATA, headers=ETAG))
    transfer(url, target, limits=limits())
    assert site.ranges[1:] == [f"bytes={len(DATA) + 2}-", None]
    assert target.read_bytes() == DATA


def test_part_longer_than_the_file_is_thrown_away(site, target, limits):
    target.parent.mkdir()
    target.with_name("x.npz.part").write_bytes(DATA + b"more")
    url = site.serve(Reply(DATA, headers=ETAG))
    transfer(url, target, md5=MD5, size=len(DATA), limits=limits())
    assert site.ranges == [None]


@pytest.mark.parametrize("notes", ["{", "[]", '{"source": "other"}'])
def test_part_of_unknown_origin_is_not_used(site, target, limits, notes):
    target.parent.mkdir()
    target.with_name("x.npz.part").write_bytes(b"PK stranger")
    target.with_name(".x.npz.notes.part").write_text(notes)
    transfer(site.serve(Reply(DATA, headers=ETAG)), target, limits=limits())
    assert site.ranges == [None]
    assert target.read_bytes() == DATA


def test_progress_starts_the_count_of_tries_anew(site, target, limits):
    data = DATA * 16
    step = downloading.ENOUGH + 1
    url = site.serve(*[Reply(data, headers=ETAG, stop=step)] * 4, Reply(data, headers=ETAG))
    transfer(url, target, md5=hashlib.md5(data).hexdigest(), limits=limits(tries=2))
    assert target.read_bytes() == data


# --- bodies that are not what they are said to be -----------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_truncated_body_is_never_taken(site, target, limits, chunked):
    url = site.serve(Reply(DATA, ranges=False, stop=70_000, chunked=chunked))
    said = fails(url, target, limits=limits())
    assert "(3 tries)" in said
    assert not target.exists()
    assert len(site.asked) == 3


def test_body_without_length_is_held_against_the_size(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, announce=-1, stop=70_000), Reply(DATA, headers=ETAG))
    transfer(url, target, size=len(DATA), limits=limits())
    assert target.read_bytes() == DATA
    assert site.ranges[1] == "bytes=70000-"


def test_longer_than_expected(site, target, limits):
    url = site.serve(Reply(DATA, chunked=True))
    said = fails(url, target, size=len(DATA) - 1, limits=limits())
    assert f"sends more than the expected {len(DATA) - 1} bytes" in said
    assert left(target) == set()


def test_announced_size_differs(site, target, limits):
    url = site.serve(Reply(DATA))
    said = fails(url, target, size=5, magic=(b"PK",), limits=limits())
    assert f"announces {len(DATA)} bytes, expected 5" in said
    assert left(target) == set()


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "endless"])
def test_limit_of_size(site, target, limits, chunked):
    url = site.serve(Reply(DATA, chunked=chunked))
    assert "limit of 10000 bytes" in fails(url, target, limits=limits(max_bytes=10_000))
    assert left(target) == set()


def test_empty_file(site, target, limits):
    assert "empty file" in fails(site.serve(Reply(b"")), target, limits=limits())


@pytest.mark.parametrize(
    ("body", "kind", "magic", "quoted"),
    [
        (PAGE, "text/html; charset=utf-8", (b"PK",), 'a web page ("Sign in & accept")'),
        (PAGE, "application/octet-stream", (b"PK", b"\x1f\x8b"), 'a web page ("Sign in & accept")'),
        (PAGE, "text/html", (), 'a web page ("Sign in & accept")'),
        (b"  <?xml version='1.0'?><Error>No key</Error>", "", (b"PK",), 'a web page ("No key")'),
        (b'{"message": "rate limit"}', "application/json", (), '{"message": "rate limit"}'),
        (b'{"status": 429}', "text/plain", (b"PK",), 'a JSON message ("{"status": 429}")'),
        (b"\x1f\x8b\x08", "", (b"PK",), r"it begins with b'\x1f\x8b\x08', expected b'PK'"),
    ],
)
def test_page_is_never_data(site, target, limits, body, kind, magic, quoted):
    url = site.serve(Reply(body, headers={"Content-Type": kind}))
    said = fails(url, target, magic=magic, limits=limits())
    assert "is not the file but" in said
    assert quoted in said
    assert left(target) == set()
    assert len(site.asked) == 1


def test_part_of_a_call_that_knew_less_is_looked_at_too(site, target, limits):
    data = b"GIF89a" + DATA
    url = site.serve(Reply(data, headers=ETAG, stop=100_000), Reply(data, headers=ETAG))
    fails(url, target, limits=limits(tries=1))
    said = fails(url, target, magic=(b"PK",), limits=limits())
    assert "it begins with b'GIF89a" in said
    assert left(target) == set()


def test_data_under_a_wrong_type_is_data(site, target, limits):
    url = site.serve(Reply(DATA, headers={"Content-Type": "text/html"}))
    transfer(url, target, magic=(b"\x1f\x8b", b"PK"), limits=limits())
    assert target.read_bytes() == DATA


def test_body_stays_as_it_is_sent(site, target, limits):
    """Servers label .nii.gz as encoded; to unpack it would be another file."""
    url = site.serve(Reply(DATA, headers={"Content-Encoding": "gzip"}))
    transfer(url, target, md5=MD5, limits=limits())
    assert site.asked[0][1]["Accept-Encoding"] == "identity"


# --- servers in trouble -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble(site, target, limits, status):
    url = site.serve(Reply(b"busy", status), Reply(DATA))
    transfer(url, target, md5=MD5, limits=limits())
    assert len(site.asked) == 2


def test_lasting_trouble_ends(site, target, limits):
    said = fails(site.serve(Reply(b"", 503)), target, md5=MD5, size=7, limits=limits(tries=4))
    assert "the server answered 503 (Service Unavailable) (4 tries)" in said
    assert f"check it (md5 {MD5}, 7 bytes)" in said
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    ("wait", "at_least", "below"),
    [
        ("1", 1.0, 5.0),
        ("9" * 30, 0.2, 5.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 1.0),
        (email.utils.formatdate(time.time() + 10**6), 0.2, 5.0),
        ("soon", 0.0, 1.0),
    ],
    ids=["seconds", "huge", "past", "far", "nonsense"],
)
def test_retry_after_is_honoured_and_capped(site, target, limits, wait, at_least, below):
    url = site.serve(Reply(b"", 429, {"Retry-After": wait}), Reply(DATA))
    cap = 1.2 if wait == "1" else 0.2
    begun = time.monotonic()
    transfer(url, target, limits=limits(retry_after_max=cap))
    assert at_least <= time.monotonic() - begun < below


def test_waits_grow(site, target, limits, monkeypatch):
    waits = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    fails(
        site.serve(Reply(b"", 500)),
        target,
        limits=limits(tries=6, backoff=1, backoff_max=5, total=99),
    )
    assert len(waits) == 5
    assert all(0.75 * w <= x <= 1.25 * w for x, w in zip(waits, (1, 2, 4, 5, 5), strict=True))


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(401, "wants a login"), (403, "licence to accept"), (404, "no such file"), (410, "withdrawn")],
)
def test_final_answers_are_not_asked_again(site, target, limits, status, meaning):
    url = site.serve(Reply(PAGE, status))
    said = fails(url, target, limits=limits())
    assert f"the server answered {status}" in said
    assert meaning in said
    assert '"Sign in & accept"' in said
    assert len(site.asked) == 1


def test_stall(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, piece=50_000, pause=1.0), Reply(DATA, headers=ETAG))
    transfer(url, target, md5=MD5, limits=limits(stall=0.3))
    assert site.ranges == [None, "bytes=50000-"]


def test_total_time_even_if_bytes_dribble(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, piece=5000, pause=0.05))
    begun = time.monotonic()
    said = fails(url, target, md5=MD5, limits=limits(total=0.5))
    assert time.monotonic() - begun < 2
    assert "longer than 0.5 s" in said
    assert "bytes came and are kept" in said
    site.serve(Reply(DATA, headers=ETAG))
    transfer(url, target, md5=MD5, limits=limits())
    assert site.ranges[1] is not None


@pytest.mark.parametrize("status", [200, 404])
def test_total_time_even_if_headers_or_an_error_dribble(site, target, limits, status):
    slow = Reply(PAGE, status, piece=1, pause=0.05, endless_headers=status == 200)
    begun = time.monotonic()
    said = fails(site.serve(slow), target, limits=limits(total=0.4))
    assert time.monotonic() - begun < 1.5
    assert "longer than 0.4 s" in said or "answered 404" in said


def test_trailers_that_dribble_hold_nobody(site, target, limits):
    """A trailer within each wait for bytes would go on until the limit of the whole transfer."""
    url = site.serve(Reply(DATA, chunked=True, endless_trailers=True))
    begun = time.monotonic()
    said = fails(url, target, limits=limits(stall=0.1, tries=2))
    assert time.monotonic() - begun < 4  # the trailers take 5 s each time
    assert "nothing useful came for 0.5 s (2 tries)" in said


def test_a_password_of_the_mirror_is_taken_from_netrc(tree, target, limits, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Site(tree) as place:
        transfer(URL, target, md5=MD5, mirror=place.url(""), limits=limits())
        assert place.asked[0][1]["Authorization"].startswith("Basic ")


def test_terminal_escapes_of_a_server_are_shown_as_text(site, target, limits):
    url = site.serve(Reply(b"", 302, headers={"Location": "gopher://\x1b]0;x\x07/\x9b31m"}))
    said = fails(url, target, limits=limits())
    assert "\\x1b]0;x" in said
    assert not {"\x1b", "\x07", "\x9b"} & set(said)


def test_total_time_even_if_a_connection_opens_after_it(site, target, limits, monkeypatch):
    """The timer has already ended what was open when the next connection begins to dribble."""
    real = socket.getaddrinfo

    def slow(*args, **kwargs):
        time.sleep(0.5)
        return real(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    url = site.serve(Reply(DATA, endless_headers=True))
    begun = time.monotonic()
    said = fails(url, target, limits=limits(total=0.3))
    assert time.monotonic() - begun < 3  # the headers take 5 s
    assert "longer than 0.3 s" in said


def test_refused_connection_says_how_to_do_it_by_hand(target, limits):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a/x.npz"
        said = fails(url, target, md5=MD5, size=9, limits=limits())
    assert "refused the connection (3 tries)" in said
    assert f"download {url} on a machine that can, check it (md5 {MD5}, 9 bytes)" in said
    assert f"put it at {target}" in said


def test_offline(target, limits, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = fails("https://data.invalid/x.npz", target, limits=limits())
    assert "no address is known for data.invalid (offline, or no name server) (3 tries)" in said
    assert f"put it at {target}" in said


def test_file_put_by_hand_is_taken_without_asking(target, limits):
    target.parent.mkdir()
    target.write_bytes(DATA)
    transfer("https://data.invalid/x.npz", target, md5=MD5, limits=limits())


# --- redirects, secrets, proxies ----------------------------------------------------------------


def test_redirects_are_followed_and_counted(site, target, limits):
    for n in range(10):
        site.serve(Reply(b"", 302, {"Location": f"/r{n + 1}"}), path=f"/r{n}")
    site.serve(Reply(DATA), path="/r10")
    transfer(site.url("/r0"), target, md5=MD5, limits=limits())
    target.unlink()
    said = fails(site.url("/r0"), target, limits=limits(redirects=9))
    assert "redirected more than 9 times" in said


def test_endless_redirect_is_not_read(site, target, limits):
    site.serve(Reply(DATA, 302, {"Location": "/x.npz"}, announce=10**12, pause=5), path="/r")
    site.serve(Reply(DATA))
    begun = time.monotonic()
    transfer(site.url("/r"), target, md5=MD5, limits=limits())
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirect_to_another_kind(site, target, limits, to):
    said = fails(site.serve(Reply(b"", 302, {"Location": to})), target, limits=limits())
    assert f"redirects to {to}, which is not an http or https URL" in said


def an_order(url: str, target: Path, mirror: str | None = None):
    none = {"md5": None, "sha256": None, "size": None, "magic": (), "title": None}
    return order(url, target, mirror=mirror, limits=Limits(), **none)


def test_no_redirect_from_https_to_http(target):
    wanted = an_order("https://a.org/x", target)
    with pytest.raises(DataError, match=r"redirects from https to http \(http://b\.org/x\)"):
        requesting.redirected(wanted, "https://a.org/x", "http://u:p@b.org/x")
    assert requesting.redirected(wanted, "http://a.org/x", "https://b.org/x") == "https://b.org/x"


def test_password_goes_only_to_its_own_host(target):
    wanted = an_order("http://u:p@a.org/x", target)
    assert requesting.redirected(wanted, "http://u:p@a.org/x", "/y") == "http://u:p@a.org/y"
    assert requesting.redirected(wanted, "http://u:p@a.org/x", "http://b.org/") == "http://b.org/"


def test_secrets_are_never_shown(site, target, limits, caplog):
    caplog.set_level(logging.DEBUG)
    secret = site.url("/x.npz?token=hush&download=1").replace("http://", "http://user:pass@")
    site.serve(Reply(b"", 503), Reply(PAGE))
    said = fails(secret, target, magic=(b"PK",), limits=limits())
    site.serve(Reply(DATA, headers=ETAG, stop=100_000))
    said += fails(secret, target, md5=MD5, limits=limits())
    notes = target.with_name(".x.npz.notes.part").read_text()
    ours = "".join(r.getMessage() for r in caplog.records if r.name == "medtaskatlas")
    assert "download=1" in said
    for text in (said, notes, ours):
        assert not any(word in text for word in ("user", "pass", "hush"))
    assert site.asked[0][1]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://u:p@h.org/a?b=c", "https://h.org/a?b=c"),
        ("https://u:p/w@h.org/a", "https://h.org/a"),
        ("u:p@h.org/a", "u:h.org/a"),
        (
            "http://h.org/a?X-Amz-Signature=1&sig=2&c=3",
            "http://h.org/a?X-Amz-Signature=hidden&sig=hidden&c=3",
        ),
        ("http://h.org/pkg@1/a", "http://h.org/pkg@1/a"),
    ],
)
def test_shown(url, safe):
    assert shown(url) == safe


def test_proxy_of_the_environment_is_used(site, target, limits, monkeypatch):
    site.serve(Reply(DATA), path="http://data.invalid/x.npz")
    monkeypatch.setenv("http_proxy", site.url(""))
    transfer("http://data.invalid/x.npz", target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA


def test_dead_proxy_is_named_without_its_password(target, limits, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://user:hush@127.0.0.1:{port}")
        said = fails("http://data.invalid/x.npz", target, limits=limits())
    assert "the proxy of the environment cannot be reached" in said
    assert "hush" not in said


# --- disk ---------------------------------------------------------------------------------------


def test_full_disk_is_seen_before(site, target, limits, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: Usage)
    said = fails(site.serve(Reply(DATA)), target, limits=limits())
    assert "disk is full" in said
    assert f"needs {len(DATA)} bytes more, 1000 are free" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_while_writing_keeps_the_old_file(site, target, limits, monkeypatch):
    target.parent.mkdir()
    target.write_bytes(b"old")
    monkeypatch.setattr(downloading, "forget", lambda _: None)
    target.with_name("x.npz.part").symlink_to("/dev/full")
    said = fails(site.serve(Reply(DATA, headers=ETAG)), target, md5=MD5, limits=limits())
    assert f"the disk is full: could not write {target}" in said
    assert target.read_bytes() == b"old"


def test_full_disk_keeps_what_came(site, target, limits, monkeypatch):
    url = site.serve(Reply(DATA, headers=ETAG, piece=20_000, pause=0.01))
    real = downloading.Progress.add

    def full(self, n):
        real(self, n)
        if self.done > 100_000:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(downloading.Progress, "add", full)
        assert "are kept" in fails(url, target, md5=MD5, limits=limits())
    transfer(url, target, md5=MD5, limits=limits())
    assert target.read_bytes() == DATA
    assert site.ranges[1] is not None


def test_folder_that_cannot_be_written(site, tmp_path, limits):
    url = site.serve(Reply(DATA))
    (tmp_path / "file").write_text("x")
    said = fails(url, tmp_path / "file" / "x.npz", limits=limits())
    assert f"cannot write {tmp_path}/file/x.npz" in said
    assert f"{tmp_path} is a folder" in fails(url, tmp_path, limits=limits())


def test_read_only_folder(site, limits):
    root = Path(tempfile.mkdtemp())  # tmp_path lies where only its owner may go
    target = root / "data" / "x.npz"
    url = site.serve(Reply(DATA))
    try:
        (root / "slots").mkdir()
        (root / "slots").chmod(0o777)
        target.parent.mkdir(mode=0o555)
        root.chmod(0o755)
        root_user = os.geteuid() == 0  # who may write anywhere
        if root_user:
            os.seteuid(65534)
        try:
            said = fails(url, target, limits=limits(slots=root / "slots"))
        finally:
            if root_user:
                os.seteuid(0)
        assert f"cannot write {target}: Permission denied" in said
        assert left(target) == set()
    finally:
        shutil.rmtree(root)


# --- politeness ---------------------------------------------------------------------------------


def test_few_downloads_from_a_host_at_a_time(site, tmp_path, limits, caplog):
    caplog.set_level(logging.INFO)
    replies = {f"/{n}.npz": Reply(DATA, piece=100_000, pause=0.1) for n in range(5)}
    urls = [site.serve(reply, path=path) for path, reply in replies.items()]
    bounds = limits(per_host=2, tries=1)
    threads = [
        threading.Thread(
            target=transfer, args=(url, tmp_path / f"{n}.npz"), kwargs={"limits": bounds}
        )
        for n, url in enumerate(urls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((tmp_path / f"{n}.npz").read_bytes() == DATA for n in range(5))
    assert site.busiest == 2
    assert f"waiting: 2 downloads from {site.host} are running" in caplog.text


def test_two_processes_do_not_share_a_part(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, piece=100_000, pause=0.1))
    threads = [
        threading.Thread(
            target=transfer, args=(url, target), kwargs={"md5": MD5, "limits": limits()}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == DATA
    assert len(site.asked) == 1


def test_waiting_for_a_slot_is_not_the_transfers_time(site, tmp_path, limits):
    url = site.serve(Reply(DATA, piece=100_000, pause=0.25))
    bounds = limits(per_host=1, total=1.2)
    first = threading.Thread(target=transfer, args=(url, tmp_path / "a"), kwargs={"limits": bounds})
    first.start()
    transfer(url, tmp_path / "b", limits=bounds)
    first.join()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == DATA


def test_default_folder_of_locks_must_be_the_users(site, target, limits, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"medtaskatlas-{os.getuid()}").symlink_to(tmp_path)
    said = fails(site.serve(Reply(DATA)), target, limits=limits(slots=None))
    assert "cannot hold the locks of downloads: it belongs to somebody else" in said


def test_log_tells_how_far_it_is(site, target, limits, caplog):
    caplog.set_level(logging.INFO)
    url = site.serve(Reply(DATA, piece=50_000, pause=0.02))
    transfer(url, target, limits=limits(report=0.01), title="chest")
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("chest: ")]
    assert len(lines) > 2
    assert lines[-1].startswith("chest: 0.3 MB of 0.3 MB (100%), ")


# --- mirrors ------------------------------------------------------------------------------------

URL = "https://data.invalid/records/1/files/x.npz?download=1"


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "tree" / "data.invalid" / "records" / "1" / "files" / "x.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return tmp_path / "tree"


def test_folder_mirror(tree, target, limits):
    transfer(URL, target, md5=MD5, size=len(DATA), magic=(b"PK",), mirror=str(tree))
    assert target.read_bytes() == DATA
    assert left(target) == {"x.npz"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_url_mirror(tree, target, limits, slash):
    with Site(tree) as site:
        transfer(URL, target, md5=MD5, mirror=site.url("") + slash, limits=limits())
        assert [path for path, _ in site.asked] == ["/data.invalid/records/1/files/x.npz"]
    assert target.read_bytes() == DATA


def test_mirror_that_lacks_the_file(tmp_path, target, limits):
    (tmp_path / "empty").mkdir()
    said = fails(URL, target, mirror=str(tmp_path / "empty"), limits=limits())
    where = "data.invalid/records/1/files/x.npz"
    assert f"{tmp_path}/empty/{where}" in said
    assert "the mirror lacks the file, looked for there" in said
    with Site(tmp_path / "empty") as site:
        said = fails(URL, target, mirror=site.url(""), limits=limits())
        assert f"{site.url('')}/{where}" in said
    assert "the mirror lacks the file, looked for there" in said
    assert f"(mirror of {URL})" in said


def test_mirror_with_a_wrong_file(tree, target, limits):
    wrong = hashlib.md5(b"").hexdigest()
    target.parent.mkdir()
    target.write_bytes(b"old")
    said = fails(URL, target, md5=wrong, mirror=str(tree), limits=limits())
    assert f"expected md5 {wrong}, found {MD5}" in said
    assert "limit of 9 bytes" in fails(URL, target, mirror=str(tree), limits=limits(max_bytes=9))
    (tree / "data.invalid/records/1/files/x.npz").write_bytes(PAGE)
    said = fails(URL, target, magic=(b"PK",), mirror=str(tree), limits=limits())
    assert 'not the file but a web page ("Sign in & accept")' in said
    assert left(target) == {"x.npz"}
    assert target.read_bytes() == b"old"


def test_mirror_does_not_send_us_to_the_internet(site, target, limits):
    site.replies["/data.invalid/records/1/files/x.npz"] = [Reply(b"", 302, {"Location": URL})]
    said = fails(URL, target, mirror=site.url(""), limits=limits())
    assert "the mirror redirects to another host" in said


@pytest.mark.parametrize(
    "url",
    [
        "https://data.invalid/../../etc/passwd",
        "https://data.invalid/%2e%2e/%2e%2e/secret",
        "https://data.invalid/a%2f..%2f..%2fsecret",
        "https://data.invalid/a%5c..%5csecret",
        "https://data.invalid/a//b",
        "https://data.invalid/a%00",
        "https://data.invalid/",
        "https://../secret",
        "https://./secret",
        "https://[::1]/secret",
    ],
)
def test_nothing_leads_out_of_a_mirror(tmp_path, target, limits, url):
    (tmp_path / "secret").write_bytes(DATA)
    (tmp_path / "tree" / "data.invalid").mkdir(parents=True)
    said = fails(url, target, mirror=str(tmp_path / "tree"), limits=limits())
    assert "has no place in a mirror" in said or "not an http or https URL" in said
    assert not target.exists()


def test_file_url_with_a_mirror(tmp_path, target, limits):
    said = fails("file:///etc/passwd", target, mirror=str(tmp_path), limits=limits())
    assert "not an http or https URL" in said


@pytest.mark.parametrize("mirror", ["file:///srv", "ftp://a", "http://a/?q=1", "/no/such/folder"])
def test_mirror_that_is_none(target, mirror):
    with pytest.raises(ConfigError, match=r"^mirror: "):
        transfer(URL, target, mirror=mirror)


def test_place_in_a_mirror(tmp_path):
    url = "https://Data.Invalid:8443/a/b%20c.npz?x=1"
    assert in_mirror(url, str(tmp_path)) == tmp_path / "data.invalid" / "a" / "b c.npz"
    assert in_mirror(url, "http://m:1/p") == "http://m:1/p/data.invalid/a/b%20c.npz"


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is absent")
@pytest.mark.parametrize("by_url", [False, True], ids=["folder", "url"])
@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("retinamnist.npz", "bd4c0672f1bba3e3a89f0e4e876791e4"),
        ("adrenalmnist3d.npz", "bbd3c5a5576322bc4cdfea780653b1ce"),
    ],
)
def test_published_files(tmp_path, limits, by_url, name, md5):
    url = f"https://zenodo.org/records/10519652/files/{name}?download=1"
    with Site(MIRROR) as site:
        mirror = site.url("") if by_url else str(MIRROR)
        transfer(url, tmp_path / name, md5=md5, magic=(b"PK",), mirror=mirror, limits=limits())
    assert hashlib.md5((tmp_path / name).read_bytes()).hexdigest() == md5


def test_planning_is_not_slowed():
    code = "import sys, medtaskatlas.datasets.remote.transfer; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"requests", "urllib3", "tqdm", "filelock"} & set(run.stdout.split())


def test_notes_name_no_host(site, target, limits):
    url = site.serve(Reply(DATA, headers=ETAG, stop=100_000))
    fails(url, target, limits=limits(tries=1))
    notes = json.loads(target.with_name(".x.npz.notes.part").read_text())
    assert notes["etag"] == '"one"'
    assert "127.0.0.1" not in str(notes)
