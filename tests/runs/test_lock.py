"""One writer per directory, however it ends, and nothing left of one that failed."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from helpers import environment

from wgan_jax.errors import UserError
from wgan_jax.runs.lock import NAME, DirectoryLock

HOLD = """if True:
    import sys
    from wgan_jax.runs.lock import DirectoryLock
    with DirectoryLock(sys.argv[1]):
        print("locked", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def held_elsewhere():
    """A function that locks a directory in another process, which it returns."""
    processes = []

    def hold(out):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        processes.append(process)
        assert process.stdout.readline() == "locked\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def refused(out):
    with pytest.raises(UserError) as error, DirectoryLock(out):
        pass
    return str(error.value)


def test_a_directory_is_created_and_removed_unless_something_is_written(tmp_path):
    out = tmp_path / "runs" / "a"
    with DirectoryLock(out):
        assert [p.name for p in out.iterdir()] == [NAME]
    assert list(tmp_path.iterdir()) == []
    with DirectoryLock(out):
        (out / "config.json").touch()
    assert [p.name for p in out.iterdir()] == ["config.json"]
    with pytest.raises(ZeroDivisionError), DirectoryLock(out / "b"):
        raise ZeroDivisionError
    assert [p.name for p in out.iterdir()] == ["config.json"]


def test_a_second_writer_is_refused_until_the_first_one_is_killed(
    tmp_path, held_elsewhere
):
    process = held_elsewhere(tmp_path)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path} is in use by process {process.pid} on ")
    assert "wait until that has ended, or give another --out" in message
    # The refusal has not removed the lock of the first one.
    refused(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / NAME).is_file()
    with DirectoryLock(tmp_path):
        refused(tmp_path)
    assert not (tmp_path / NAME).exists()


def test_of_many_threads_one_writes_at_a_time(tmp_path):
    out, inside, most, rounds = tmp_path / "out", [], [], 200
    ready = threading.Barrier(4)

    def write():
        ready.wait()
        for _ in range(rounds):
            try:
                with DirectoryLock(out):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except UserError:
                pass

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert not out.exists() or list(out.iterdir()) == []


def test_a_moved_directory_is_locked_in_its_new_place(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").touch()
    with DirectoryLock(out) as lock:
        lock.move_aside()
        assert f"moved the old {out} to {out}.1" in capsys.readouterr().out
        refused(out)
        assert os.listdir(tmp_path / "out.1") == ["config.json"]
        # An empty directory stays where it is.
        lock.move_aside()
    assert os.listdir(tmp_path) == ["out.1"]


def test_a_directory_with_a_writer_inside_is_not_moved(tmp_path, held_elsewhere):
    process = held_elsewhere(tmp_path / "sweep" / "seed-0")
    with DirectoryLock(tmp_path / "sweep") as lock:
        with pytest.raises(UserError, match=f"seed-0 is in use by .*{process.pid}"):
            lock.check_below()
        process.communicate()
        lock.check_below()


def test_a_file_system_without_locks_is_warned_about(tmp_path, monkeypatch, capsys):
    def not_supported(_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("wgan_jax.runs.lock._flock", not_supported)
    with DirectoryLock(tmp_path):
        pass
    output = capsys.readouterr().out
    assert re.match("warning: .* cannot be locked .*Operation not supported", output)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_directory_gets_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert "cannot be a directory, because a part of it is a file" in refused(out)
