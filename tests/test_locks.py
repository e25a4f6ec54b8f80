"""Locks between processes: as many as asked for, and free again whatever happened inside."""

import threading

import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.locks import LockFolder


def made(folder, **options):
    return LockFolder(folder, purpose="the tests", remedy="use another", **options)


def never():
    raise AssertionError("waited")


def test_free_locks_are_held_in_order_and_given_back(tmp_path) -> None:
    locks = made(tmp_path / "locks")
    with locks.hold(["a"], on_wait=never), locks.hold(["a", "c", "b"], 2, on_wait=never) as held:
        assert held == ["c", "b"]
    with pytest.raises(ZeroDivisionError), locks.hold(["a"], on_wait=never):
        _ = 1 / 0
    with locks.hold(["a", "b", "c"], 3, on_wait=never) as held:
        assert held == ["a", "b", "c"]


def test_who_waits_is_told_once_and_goes_on(tmp_path) -> None:
    locks, told, waiting = made(tmp_path), [], threading.Event()

    def wait() -> None:
        with locks.hold(["a"], on_wait=lambda: (told.append(1), waiting.set())):
            told.append(2)

    with locks.hold(["a"], on_wait=never):
        other = threading.Thread(target=wait)
        other.start()
        assert waiting.wait(10)
    other.join(10)
    assert told == [1, 2]


@pytest.mark.parametrize("access", ["own", "all", "any"])
def test_a_folder_that_cannot_hold_locks_says_so(tmp_path, access) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file cannot hold the locks of the tests(.|\n)*another"):
        made(tmp_path / "file", access=access)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    if access != "any":
        with pytest.raises(DataError, match="link cannot hold the locks"):
            made(link, access=access)


def test_who_may_use_a_folder(tmp_path) -> None:
    made(tmp_path / "own", access="own")
    made(tmp_path / "all", access="all")
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "all").stat().st_mode & 0o777 == 0o777
