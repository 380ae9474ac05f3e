"""Files appear whole or not at all, whatever the disk says and however many write."""

import multiprocessing
import os
import resource
import signal

import pytest

from sim.errors import InputError
from sim.files import WholeFile, locked, make_folder, write_together, write_whole


@pytest.fixture(params=[True, False], ids=["unnamed", "named"])
def kind(request, monkeypatch):
    """With files that have no name until they are whole, and as where there are none."""
    if not request.param:
        monkeypatch.setattr(WholeFile, "_unnamed", lambda self: None)
    return request.param


@pytest.fixture
def small_disk():
    """No file gets more than 4096 octets: what a full disk is, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_it_appears_whole(tmp_path, kind):
    path = tmp_path / "a"
    path.write_text("before")
    with WholeFile(path) as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert path.read_text() == "before"
        assert len(os.listdir(tmp_path)) == (1 if kind else 2)
        file.keep()
    assert path.read_text() == "x" * 100_000
    assert os.listdir(tmp_path) == ["a"]


def test_it_has_the_rights_that_others_have(tmp_path, kind):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", "")
        (tmp_path / "b").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_given_up_it_was_never_there(tmp_path, kind, error):
    with pytest.raises(error), WholeFile(tmp_path / "a") as file:
        file.write(b"x" * 100_000)
        raise error
    assert os.listdir(tmp_path) == []


def test_a_full_disk(tmp_path, kind, small_disk):
    (tmp_path / "a").write_text("before")
    with pytest.raises(InputError, match="a: cannot be written: File too large"):
        write_together((tmp_path / "b", "fits"), (tmp_path / "a", "x" * 100_000))
    assert (tmp_path / "a").read_text() == "before"
    assert os.listdir(tmp_path) == ["a"]


def test_the_first_error_is_the_one_that_is_told(tmp_path, kind, small_disk):
    with pytest.raises(ZeroDivisionError), WholeFile(tmp_path / "a") as file:
        file.write(b"x" * 5000)
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path, reason", [
    ("no/a", "No such file or directory"), ("folder", "it is there, and no file"), ("\0", ".*embedded null"),
    ("x" * 300, "File name too long"), ("file/a", "Not a directory"),
])
def test_places_that_cannot_be_written(tmp_path, kind, path, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"cannot be written: {reason}"):
        write_whole(tmp_path / path, "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_what_is_no_file_is_not_replaced():
    with pytest.raises(InputError, match="/dev/null: cannot be written: it is there, and no file"):
        write_whole("/dev/null", "x")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/a: cannot be created: Not a directory"):
        make_folder(tmp_path / "file/a")


def _write_often(path, text):
    for _ in range(200):
        write_whole(path, text)


def test_many_write_one_file(tmp_path, kind):
    """It is always that of one of them."""
    context = multiprocessing.get_context("fork")
    path, texts = tmp_path / "a", ["1" * 50_000, "2" * 70_000, "3" * 60_000]
    processes = [context.Process(target=_write_often, args=(path, text)) for text in texts]
    write_whole(path, texts[0])
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        assert path.read_text() in texts
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert os.listdir(tmp_path) == ["a"]


def _write_and_die(path):
    with WholeFile(path) as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="no files without a name here")
def test_a_kill_leaves_nothing(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(tmp_path / "a",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []


def _hold(path, ready, go):
    with locked(path, "somebody"):
        ready.set()
        go.wait(20)


def test_one_holds_the_lock_and_is_named(tmp_path):
    context = multiprocessing.get_context("fork")
    path, ready, go = tmp_path / "book", context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, ready, go))
    process.start()
    assert ready.wait(20)
    with pytest.raises(InputError, match=rf"book: somebody \(process {process.pid}\) is writing it; wait, or choose "):
        with locked(path, "somebody"):
            pass
    go.set()
    process.join()
    with locked(path, "somebody"):
        pass
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_process_that_was_killed_is_nobodys(tmp_path):
    context = multiprocessing.get_context("fork")
    path, ready, go = tmp_path / "book", context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, ready, go))
    process.start()
    assert ready.wait(20)
    process.kill()
    process.join()
    with locked(path, "somebody"):
        pass
    assert os.listdir(tmp_path) == []
