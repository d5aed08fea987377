# Copyright 2026 The tensorflow_tvm Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ==============================================================================
"""The disk cache of libraries that were compiled just in time."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tensorflow_tvm import build_cache
from tensorflow_tvm.tests.subprocesses import check_python

SOURCE = build_cache.__file__
LIBRARY = bytes(range(256)) * 40
OTHER_USER = 65534

# What a process of its own begins with: it imports neither TensorFlow nor TVM.
PRELUDE = """
import importlib.util, os, sys
source, key, *args = sys.argv[1:]
spec = importlib.util.spec_from_file_location("build_cache", source)
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
"""

# It says when it starts to build and to wait for a lock, and builds until it is told to go on.
BUILDER = (
    PRELUDE
    + """
def audit(event, values):
    if event == "fcntl.flock" and values[1] == cache.fcntl.LOCK_EX:
        print("locks", flush=True)
sys.addaudithook(audit)

def build():
    with open(args[0], "a") as file:
        file.write("built\\n")
    print("builds", flush=True)
    answer = sys.stdin.readline()
    if answer == "raise\\n":
        raise RuntimeError("on purpose")
    if answer == "fork\\n":  # the child holds all open files until the test ends
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    return b"built by " + args[1].encode()

print(cache.get_or_build(key, build), flush=True)
sys.stdin.readline()
"""
)


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def never() -> bytes:
    raise AssertionError("it is in the cache")


@pytest.fixture
def cache():
    """The module, as a process that has just begun has it."""
    spec = importlib.util.spec_from_file_location("build_cache", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TENSORFLOW_TVM_CACHE_SIZE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def start(folder, tmp_path):
    """`start(name)` starts a process that builds a library with the key "shared"."""
    processes = []

    def give_up():  # rather than wait for ever; the last first, for it must not be freed by that
        for process in reversed(processes):
            process.kill()

    with contextlib.ExitStack() as stack:
        timer = threading.Timer(60, give_up)
        timer.start()
        stack.callback(timer.cancel)

        def start(name: str) -> subprocess.Popen:
            process = subprocess.Popen(
                [sys.executable, "-c", BUILDER, SOURCE, key("shared"), tmp_path / "builds", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
            return process

        yield start


def expect(process: subprocess.Popen, *lines: str) -> None:
    assert [process.stdout.readline().strip() for _ in lines] == list(lines)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def entry(folder: Path, name: str) -> Path:
    return folder / f"{key(name)}.so"


def warnings(caplog) -> list[str]:
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.name for record in records} <= {"tensorflow_tvm"}
    return [record.getMessage() for record in records]


def set_age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


# Where it is.


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"TENSORFLOW_TVM_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"TENSORFLOW_TVM_CACHE_DIR": "~/b"}, "/home/me/b"),
        ({"TENSORFLOW_TVM_CACHE_DIR": "", "XDG_CACHE_HOME": "/c"}, None),
        ({"XDG_CACHE_HOME": "/c"}, "/c/tensorflow_tvm"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/tensorflow_tvm"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/tensorflow_tvm"),
        ({"XDG_CACHE_HOME": "~/relative"}, "/home/me/.cache/tensorflow_tvm"),
        ({}, "/home/me/.cache/tensorflow_tvm"),
    ],
)
def test_folder(cache, monkeypatch, variables, expected):
    for name in ("TENSORFLOW_TVM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache.folder() == expected


def test_empty_variable_switches_the_cache_off(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cache.get_or_build(key("a"), lambda: b"1") == b"1"
    assert cache.get_or_build(key("a"), lambda: b"2") == b"2"
    assert not files(tmp_path) and not warnings(caplog)


def test_needs_neither_tensorflow_nor_tvm(folder):
    code = (
        PRELUDE + "print({'tensorflow', 'tensorflow_tvm', 'tvm', 'tvm_ffi'} & set(sys.modules))\n"
    )
    assert check_python(code, SOURCE, "unused") == "set()\n"


@pytest.mark.parametrize("bad", ["", "../" + "a" * 61, "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_key_must_be_a_digest(cache, folder, bad):
    with pytest.raises(ValueError, match="expected 64 lowercase hexadecimal digits"):
        cache.get_or_build(bad, never)


# Hits and misses.


@pytest.mark.parametrize("library", [LIBRARY, b""], ids=["full", "empty"])
def test_second_call_is_served_from_disk(cache, folder, caplog, library):
    assert cache.get_or_build(key("a"), lambda: library) == library
    assert cache.get_or_build(key("a"), never) == library
    assert cache.get_or_build(key("b"), lambda: b"another") == b"another"
    assert files(folder) == {entry(folder, "a").name, entry(folder, "b").name}
    assert not warnings(caplog)


def test_only_the_user_may_read_and_write(cache, folder):
    umask = os.umask(0)
    try:
        cache.get_or_build(key("a"), lambda: LIBRARY)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(folder, "a").stat().st_mode) == 0o600


def test_exception_of_the_build_goes_through(cache, folder, caplog):
    error = OSError("of the compiler, not of the cache")

    def fail():
        raise error

    with pytest.raises(OSError) as raised:
        cache.get_or_build(key("a"), fail)
    assert raised.value is error
    assert error.__context__ is None and error.__cause__ is None
    assert not files(folder) and not warnings(caplog)
    # It would wait for ever for a lock that was not released.
    assert cache.get_or_build(key("a"), lambda: LIBRARY) == LIBRARY


def test_hit_on_a_read_only_file_system(cache, folder, monkeypatch, caplog):
    def utime(*_, **__):
        raise OSError(30, "Read-only file system")

    cache.get_or_build(key("a"), lambda: LIBRARY)
    monkeypatch.setattr(os, "utime", utime)
    assert cache.get_or_build(key("a"), never) == LIBRARY
    assert not warnings(caplog)


# Entries that cannot be trusted.


def flip(position):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[position] ^= 1
        path.write_bytes(content)

    return damage


def move_away(path):
    return path.rename(path.parent.parent / "elsewhere")


def put_entry_of_another_key(path):
    entry(path.parent, "another").replace(path)


def put_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def give_away(path):
    try:
        os.chown(path, OTHER_USER, -1)
    except OSError as error:
        # Only root can, and not in a sandbox that knows no other user.
        pytest.skip(f"a file cannot be given to another user here: {error}")


@pytest.mark.parametrize(
    "damage, reason",
    [
        (flip(0), "is damaged"),
        (flip(len(LIBRARY) // 2), "is damaged"),
        (flip(-1), "is damaged"),
        (lambda path: os.truncate(path, len(LIBRARY)), "is damaged"),
        (lambda path: os.truncate(path, 10), "is damaged"),
        (lambda path: os.truncate(path, 0), "is damaged"),
        (lambda path: os.truncate(path, path.stat().st_size + 1), "is damaged"),
        (put_entry_of_another_key, "is damaged"),
        (lambda path: path.symlink_to(move_away(path)), None),
        (put_fifo, "only this user may change"),
        (lambda path: path.chmod(0o620), "only this user may change"),
        (lambda path: path.chmod(0o602), "only this user may change"),
        (give_away, "only this user may change"),
    ],
    ids="first middle last digest_lost short empty longer another_key link fifo group others "
    "owner".split(),
)
def test_bad_entry_is_built_again(cache, folder, caplog, damage, reason):
    caplog.set_level(logging.INFO, "tensorflow_tvm")
    cache.get_or_build(key("a"), lambda: LIBRARY)
    cache.get_or_build(key("another"), lambda: b"another")
    damage(entry(folder, "a"))
    assert cache.get_or_build(key("a"), lambda: b"new") == b"new"
    assert cache.get_or_build(key("a"), never) == b"new"
    status = entry(folder, "a").lstat()
    assert stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (reason is not None) and not warnings(caplog)
    assert all(reason in message and key("a") in message for message in messages)


def test_link_is_not_written_through(cache, folder, tmp_path):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    target = move_away(entry(folder, "a"))
    content = target.read_bytes()
    entry(folder, "a").symlink_to(target)
    cache.get_or_build(key("a"), lambda: b"new")
    assert target.read_bytes() == content


def test_bad_entry_is_removed_though_the_build_fails(cache, folder):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    flip(0)(entry(folder, "a"))
    with pytest.raises(ZeroDivisionError):
        cache.get_or_build(key("a"), lambda: 1 // 0)
    assert not files(folder)


# Several at once.


def test_second_process_waits_for_the_first(start, folder, tmp_path):
    first = start("first")
    expect(first, "locks", "builds")
    second = start("second")
    expect(second, "locks")
    first.stdin.write("go on\n")
    expect(first, "b'built by first'")
    expect(second, "b'built by first'")
    assert (tmp_path / "builds").read_text() == "built\n"
    assert files(folder) == {entry(folder, "shared").name}


def test_processes_do_not_wait_for_another_key(cache, start, folder):
    expect(start("first"), "locks", "builds")
    assert cache.get_or_build(key("another"), lambda: LIBRARY) == LIBRARY


@pytest.mark.parametrize("end", ["kill", "raise"])
def test_process_whose_build_ends_early_blocks_nobody(start, folder, tmp_path, end):
    first = start("first")
    expect(first, "locks", "builds")
    second = start("second")
    expect(second, "locks")
    if end == "kill":
        first.kill()
    else:
        first.stdin.write("raise\n")
    expect(second, "builds")
    second.stdin.write("go on\n")
    expect(second, "b'built by second'")
    assert (tmp_path / "builds").read_text() == "built\nbuilt\n"
    assert files(folder) == {entry(folder, "shared").name}


def test_process_forked_by_the_build_blocks_nobody(start):
    first = start("first")
    expect(first, "locks", "builds")
    second = start("second")
    expect(second, "locks")
    first.stdin.write("fork\n")
    expect(second, "b'built by first'")


def test_second_thread_waits_for_the_first(cache, folder, monkeypatch):
    building, go_on = threading.Event(), threading.Event()
    locks = threading.Semaphore(0)
    flock = cache.fcntl.flock
    results = []

    def announced_flock(file, operation):
        if operation == cache.fcntl.LOCK_EX:
            locks.release()
        flock(file, operation)

    def build():
        building.set()
        assert go_on.wait(60)
        return LIBRARY

    def run(build):
        results.append(cache.get_or_build(key("a"), build))

    monkeypatch.setattr(cache.fcntl, "flock", announced_flock)
    threads = [threading.Thread(target=run, args=[b], daemon=True) for b in (build, never)]
    threads[0].start()
    assert building.wait(60) and locks.acquire(timeout=60)
    threads[1].start()
    assert locks.acquire(timeout=60)
    assert not results
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert results == [LIBRARY, LIBRARY]


def test_file_system_without_locks(cache, folder, monkeypatch, caplog):
    def flock(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(cache.fcntl, "flock", flock)
    assert cache.get_or_build(key("a"), lambda: LIBRARY) == LIBRARY
    assert cache.get_or_build(key("a"), never) == LIBRARY
    assert not warnings(caplog)


# The limit of its size.


@pytest.fixture
def entry_size(cache, folder):
    cache.get_or_build(key("measured"), lambda: LIBRARY)
    size = entry(folder, "measured").stat().st_size
    entry(folder, "measured").unlink()
    return size


def test_least_recently_used_is_removed_first(cache, folder, monkeypatch, entry_size):
    for age, name in enumerate("abcd"):
        cache.get_or_build(key(name), lambda: LIBRARY)
        set_age(entry(folder, name), 1000 - age)
    for name in "ca":
        cache.get_or_build(key(name), never)  # now b is the least recently used one, then d
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_SIZE", str(3 * entry_size))
    cache.get_or_build(key("e"), lambda: LIBRARY)
    assert files(folder) == {entry(folder, name).name for name in "ace"}


def test_entry_just_stored_stays(cache, folder, monkeypatch, entry_size):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    set_age(entry(folder, "a"), -1000)  # a clock that was put back
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_SIZE", "0")
    cache.get_or_build(key("b"), lambda: LIBRARY)
    assert files(folder) == {entry(folder, "b").name}


GIB = 2**30


@pytest.mark.parametrize(
    "value, limit",
    [
        (None, GIB),
        ("123456", 123456),
        ("700K", 700 * 2**10),
        (" 3m ", 3 * 2**20),
        ("2G", 2 * GIB),
        ("", GIB),
        ("lots", GIB),
        ("-1", GIB),
        ("1.5G", GIB),
        ("5T", GIB),
        ("M", GIB),
        ("9" * 5000, GIB),
        ("1\N{KELVIN SIGN}", GIB),
    ],
)
def test_size_limit(cache, folder, monkeypatch, caplog, entry_size, value, limit):
    bad = value is not None and limit == GIB
    if value is not None:
        monkeypatch.setenv("TENSORFLOW_TVM_CACHE_SIZE", value)
    old = entry(folder, "old")
    for name, size, stays in (("a", limit - entry_size, True), ("b", limit, False)):
        old.touch()
        os.truncate(old, size)  # sparse: it takes no room
        set_age(old, 1000)
        cache.get_or_build(key(name), lambda: LIBRARY)
        assert old.exists() == stays
        entry(folder, name).unlink()
    messages = warnings(caplog)
    assert len(messages) == bad
    for message in messages:
        assert f"TENSORFLOW_TVM_CACHE_SIZE is {value!r}" in message
        assert "expected a number of bytes" in message and "1G" in message


def test_other_files_are_neither_counted_nor_removed(cache, folder, monkeypatch, entry_size):
    foreign = {"libmine.so", f"{key('a')}.so.bak", f"x{key('a')}.so", "notes.lock", "notes.tmp"}
    for name in foreign:
        (folder / name).write_bytes(LIBRARY)
        set_age(folder / name, 10**7)
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_SIZE", str(entry_size))
    cache.get_or_build(key("a"), lambda: LIBRARY)
    assert files(folder) == foreign | {entry(folder, "a").name}


def test_leavings_of_killed_processes_are_removed(cache, folder, entry_size):
    old = [f"{key('a')}.lock", f"{key('b')}.0123456789abcdef.tmp"]
    new = [f"{key('c')}.lock", f"{key('d')}.0123456789abcdef.tmp"]
    for name in old + new:
        (folder / name).touch()
    for name in old:
        set_age(folder / name, 10**6)
    cache.get_or_build(key("e"), lambda: LIBRARY)
    assert files(folder) == {*new, entry(folder, "e").name}


@pytest.mark.parametrize("when", ["listed", "chosen"])
def test_entries_may_vanish(cache, folder, monkeypatch, caplog, entry_size, when):
    for name in "abc":
        cache.get_or_build(key(name), lambda: LIBRARY)
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_SIZE", str(entry_size))
    scandir, unlink = os.scandir, os.unlink

    def scandir_then_lose_all(path):
        with scandir(path) as found:
            listed = list(found)
        for name in "abc":
            entry(folder, name).unlink()
        return contextlib.nullcontext(listed)

    def unlink_too_late(path, **arguments):
        unlink(path, **arguments)
        unlink(path, **arguments)

    if when == "listed":
        monkeypatch.setattr(os, "scandir", scandir_then_lose_all)
    else:
        monkeypatch.setattr(os, "unlink", unlink_too_late)
    assert cache.get_or_build(key("d"), lambda: LIBRARY) == LIBRARY
    assert files(folder) == {entry(folder, "d").name}
    assert not warnings(caplog)


# Folders that cannot be used.


def expect_one_warning(caplog, folder, reason):
    (message,) = warnings(caplog)
    assert str(folder) in message and reason in message and "TENSORFLOW_TVM_CACHE_DIR" in message


@pytest.mark.parametrize(
    "folder, reason",
    [
        ("{tmp_path}/file", "Not a directory"),
        ("{tmp_path}/file/cache", "Not a directory"),
        ("{tmp_path}/dangling", "No such file or directory"),
        ("/proc/tensorflow_tvm/cache", "No such file or directory"),
        ("~no-such-user/cache", "No such home folder"),
    ],
)
def test_folder_that_cannot_be_made(cache, tmp_path, monkeypatch, caplog, folder, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nothing/here")
    folder = folder.format(tmp_path=tmp_path)
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", folder)
    for name in ("a", "a", "b"):
        assert cache.get_or_build(key(name), lambda name=name: name.encode()) == name.encode()
    error = ZeroDivisionError()

    def fail():
        raise error

    with pytest.raises(ZeroDivisionError):
        cache.get_or_build(key("a"), fail)
    assert error.__context__ is None
    expect_one_warning(caplog, folder, reason)
    assert files(tmp_path) == {"file", "dangling"}


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777, 0o1777])
def test_folder_that_others_may_write_to_is_refused(cache, folder, caplog, mode):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    folder.chmod(mode)
    for name in "ab":
        assert cache.get_or_build(key(name), lambda: b"new") == b"new"
    expect_one_warning(caplog, folder, f"mode {mode:04o}")
    assert files(folder) == {entry(folder, "a").name}


def test_folder_that_others_may_read_is_used(cache, folder, caplog):
    folder.mkdir(0o755)
    cache.get_or_build(key("a"), lambda: LIBRARY)
    assert cache.get_or_build(key("a"), never) == LIBRARY
    assert not warnings(caplog)


def test_folder_of_another_user_is_refused(cache, folder, monkeypatch, caplog):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    for name in "ab":
        assert cache.get_or_build(key(name), lambda: b"new") == b"new"
    expect_one_warning(caplog, folder, f"belongs to user {owner}")
    assert files(folder) == {entry(folder, "a").name}


def test_threads_warn_once_together(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "/proc/tensorflow_tvm")
    barrier = threading.Barrier(8)

    def run():
        barrier.wait(60)
        cache.get_or_build(key("a"), lambda: LIBRARY)

    threads = [threading.Thread(target=run) for _ in range(barrier.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_one_warning(caplog, "/proc/tensorflow_tvm", "")


def test_entry_that_cannot_be_replaced(cache, folder, caplog):
    entry(folder, "a").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    for _ in range(2):
        assert cache.get_or_build(key("a"), lambda: LIBRARY) == LIBRARY
    expect_one_warning(caplog, folder, "Is a directory")
    assert files(folder) == {entry(folder, "a").name}


def test_no_space(cache, folder):
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # a write stops halfway, then fails
    for _ in range(2):
        assert cache.get_or_build(key, lambda: bytes(1000)) == bytes(1000)
    """
    output = check_warnings(code, key("a"))
    assert output.count("Cannot cache") == 1
    assert str(folder) in output and "File too large" in output
    assert not files(folder)


def test_read_only_folder_serves_hits(cache, folder):
    cache.get_or_build(key("a"), lambda: LIBRARY)
    if os.geteuid() == 0:
        probe = folder / "probe"
        probe.touch()
        give_away(probe)  # or skip
        probe.unlink()
    code = f"""
    # Nothing is read-only for root, and the folder of another user would be refused.
    if os.geteuid() == 0:
        os.environ["TENSORFLOW_TVM_CACHE_DIR"] = "."
        os.chdir(args[0])
        for path in ".", f"{{key}}.so":
            os.chown(path, {OTHER_USER}, -1)
        os.setuid({OTHER_USER})
    os.chmod(os.environ["TENSORFLOW_TVM_CACHE_DIR"], 0o500)
    def never():
        raise AssertionError
    assert len(cache.get_or_build(key, never)) == {len(LIBRARY)}
    print("hit", file=sys.stderr)
    for other in "b" * 64, "c" * 64:
        assert cache.get_or_build(other, lambda: b"built") == b"built"
    assert cache.get_or_build(key, never)
    """
    try:
        hit, *others = check_warnings(code, key("a"), folder).splitlines()
    finally:
        folder.chmod(0o700)
    assert hit == "hit"
    (warning,) = others
    assert "Permission denied" in warning and "TENSORFLOW_TVM_CACHE_DIR" in warning
    assert files(folder) == {entry(folder, "a").name}


def check_warnings(code: str, *args) -> str:
    """What a process that runs `code` after the prelude writes to stderr; it must succeed."""
    lines = "\n".join(line.removeprefix("    ") for line in code.splitlines())
    return check_python(f"{PRELUDE}\nsys.stderr = sys.stdout\n{lines}", SOURCE, *args)
