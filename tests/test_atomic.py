"""Writing a file is whole or not at all, at every moment and after every failure."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scalecodec import atomic
from scalecodec.atomic import write_atomic

WRITE_FOREVER = """
import os, random, runpy, signal, sys, time
write_atomic = runpy.run_path(sys.argv[1])["write_atomic"]
contents = [b"A" * 3_000_000, b"B" * 5_000_000]
pick, folder, torn_off = random.Random(1), sys.argv[2], 0
path = os.path.join(folder, "picture.scl")
write_atomic(path, contents[0])
for _ in range(100):
    child = os.fork()
    while child == 0:
        for content in contents:
            write_atomic(path, content)
    time.sleep(pick.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        sys.exit("the writer ended by itself")
    with open(path, "rb") as file:
        if file.read() not in contents:
            sys.exit("neither the old file nor the new one")
    for name in set(os.listdir(folder)) - {"picture.scl"}:
        os.unlink(os.path.join(folder, name))
        torn_off += 1
print(torn_off)
"""


INTERRUPT_OFTEN = """
import os, random, runpy, signal, sys, time
write_atomic = runpy.run_path(sys.argv[1])["write_atomic"]
pick, folder, struck, complaints = random.Random(1), sys.argv[2], 0, []
sys.unraisablehook = complaints.append  # a file that nobody closed
path = os.path.join(folder, "picture.scl")
durations = []
for _ in range(21):
    since = time.perf_counter()
    write_atomic(path, b"A")
    durations.append(time.perf_counter() - since)
usual = sorted(durations)[10]  # on a busy machine a few take a hundred times as long
for _ in range(1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, pick.uniform(usual / 50, usual))
        write_atomic(path, b"A")
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        struck += 1
    left = set(os.listdir(folder)) - {"picture.scl"}
    if left or complaints:
        sys.exit(f"{left} stayed, {complaints}")
print(struck)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends a signal")
def test_ctrl_c_at_any_moment_leaves_no_file_behind_and_none_open(tmp_path):
    heed = "import signal; signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
    command = [sys.executable, "-W", "always", "-c", heed + INTERRUPT_OFTEN, atomic.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 300, "the signals fell behind the writes, so nothing was tried"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked writer")
def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file(tmp_path):
    command = [sys.executable, "-c", WRITE_FOREVER, atomic.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10, "the kills fell between the writes, so nothing was tried"


def test_write_atomic_writes_and_replaces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("new.scl", tmp_path / "new.scl", os.fspath(tmp_path / "new.scl")):
        for data in (b"first", bytearray(b"second, and longer"), memoryview(b"")):
            write_atomic(path, data)
            assert (tmp_path / "new.scl").read_bytes() == data
    assert os.listdir(tmp_path) == ["new.scl"]


def test_write_atomic_flushes_the_file_then_renames_then_flushes_the_directory(tmp_path, monkeypatch):
    steps = []
    fsync, rename = os.fsync, os.replace

    def note_fsync(descriptor):
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        if steps == ["file"]:
            assert os.fstat(descriptor).st_size == 3, "flushed before it was written"
        fsync(descriptor)

    def note_rename(source, target):
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_rename)
    write_atomic(tmp_path / "a.scl", b"abc")
    assert steps == ["file", "rename", "directory"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error):
    path = tmp_path / "a.scl"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.scl"]


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.EINVAL, False), (errno.EACCES, False), (errno.EIO, True)],
    ids=["EINVAL", "EACCES", "EIO"],
)
def test_a_directory_that_cannot_be_flushed_is_no_fault_but_a_failing_disk_is(tmp_path, monkeypatch, number, raised):
    fsync = os.fsync

    def fail_for_a_directory(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_a_directory)
    with pytest.raises(OSError, match="error") if raised else contextlib.nullcontext():
        write_atomic(tmp_path / "a.scl", b"new")
    assert (tmp_path / "a.scl").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.scl"]


def test_faults_of_the_caller_leave_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "a.scl", "text")
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "absent" / "a.scl", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "folder", b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomic(tmp_path / "loop", b"")
    assert sorted(os.listdir(tmp_path)) == ["folder", "loop"]


def test_the_mode_is_what_open_would_leave(tmp_path):
    path = tmp_path / "a.scl"
    before = os.umask(0o027)
    try:
        write_atomic(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o606)
        write_atomic(path, b"newer")
        assert stat.S_IMODE(path.stat().st_mode) == 0o606
    finally:
        os.umask(before)


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link.scl", tmp_path / "there" / "target.scl"
    link.symlink_to(Path("there") / "target.scl")
    for data in (b"created through a link to nothing", b"replaced"):
        write_atomic(link, data)
        assert link.is_symlink()
        assert target.read_bytes() == data
    assert os.listdir(tmp_path / "there") == ["target.scl"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(path, b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
