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
"""Temporary folders of processes that were killed, and processes without file descriptors."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest

from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python, python

# A library that is loaded until its process is killed.
_STAYS = """
#include <unistd.h>
extern "C" int __tvm_ffi_f(void*, const void*, int, void*) { return 0; }
struct Loading { Loading() { while (true) pause(); } } loading;
"""

_LOAD = """
import sys
import tensorflow_tvm as tftvm
tftvm.Module(sys.argv[1])
"""

# `g++` for TVM, which is running until the process that wants it is killed.
_LINKER = """#!/bin/sh
touch "$TMPDIR/linking"
exec sleep 1000
"""

_COMPILE = """
import tensorflow_tvm as tftvm
from tvm import te
n = te.var("n")
x = te.placeholder((n,), name="x")
tftvm.build([x, te.compute((n,), lambda i: x[i] + 1.0)], name="addone")
"""


# A forked child leaves the folder to its parent.
_FORK = """
import os, sys
from tensorflow_tvm.private_folder import private_folder
with private_folder("test") as folder:
    assert len(list(folder.parent.glob("tensorflow_tvm-*"))) == 1
    (folder / "file").touch()
    child = os.fork()
    if child == 0:
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    assert [path.name for path in folder.iterdir()] == ["file"]
assert not folder.exists()
"""


def _folders(parent):
    return sorted(parent.glob("tensorflow_tvm-*"))


def _wait(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path):
    """Start a Python program in a group that ends with the test, with its own temporary folder."""
    processes = []

    def start(code, *args, **env):
        env = {"TMPDIR": str(tmp_path), "TENSORFLOW_TVM_CACHE_DIR": "", **env}
        process = subprocess.Popen(
            **python(code, *args, env=env),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_folders_of_killed_processes(start, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    library = libraries.compile_cc(_STAYS, outside / "stays.so")
    linker = outside / "linker"
    linker.write_text(_LINKER)
    linker.chmod(0o700)

    compiling = start(_COMPILE, CXX=str(linker))
    loading = start(_LOAD, library)
    _wait((tmp_path / "linking").exists, compiling)
    _wait(lambda: len(_folders(tmp_path)) == 2, loading)
    assert [path.stat().st_mode & 0o7777 for path in _folders(tmp_path)] == [0o700] * 2

    # What compiles is killed alone: the linker that it has started lives on, and does not count.
    compiling.kill()
    compiling.wait()
    environment = {"TMPDIR": str(tmp_path)}
    check_python("import tensorflow_tvm", env=environment)
    [folder] = _folders(tmp_path)  # that of the process that lives
    assert [path.is_symlink() for path in folder.iterdir()] == [True]
    loading.kill()
    loading.wait()
    check_python(_FORK, env=environment)
    assert _folders(tmp_path) == []


def test_no_descriptors(addone_path, tmp_path):
    """What needs a file descriptor says that there is none, and works when there is one again."""
    output = check_python(
        """
        import os, resource, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        from tvm import te

        def build(increment):
            n = te.var("n")
            x = te.placeholder((n,), name="x")
            y = te.compute((n,), lambda i: x[i] + increment)
            return tftvm.build([x, y], name="addone")["addone"]

        def outcome(call, *args):
            try:
                call(*args)
                return "done"
            except (tf.errors.OpError, ValueError) as error:
                return f"{type(error).__name__}: {error}".replace(chr(10), " ")

        build(1.0)
        path = sys.argv[1]
        content = open(path, "rb").read()
        limit = len(os.listdir("/proc/self/fd")) + 40
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        opened = []
        try:
            while True:
                opened.append(os.open("/", os.O_RDONLY))
        except OSError:
            pass
        print(limit)
        for left in range(4):
            print(left, "path", outcome(tftvm.Module, path))
            print(left, "bytes", outcome(tftvm.Module, content))
            print(left, "build", outcome(build, 2.0))
            os.close(opened.pop())
        for descriptor in opened:
            os.close(descriptor)
        print("all", "path", outcome(tftvm.Module, path))
        print("all", "build", outcome(build, 2.0))
        """,
        addone_path,
        env={"TMPDIR": str(tmp_path), "TENSORFLOW_TVM_CACHE_DIR": str(tmp_path / "cache")},
    )
    limit, *lines = output.splitlines()
    outcomes = {tuple(line.split()[:2]): line.split(maxsplit=2)[2] for line in lines}
    assert outcomes.pop(("all", "path")) == outcomes.pop(("all", "build")) == "done"
    for (left, what), outcome in outcomes.items():
        if outcome == "done" and left != "0":
            continue
        named = "'addone'" if what == "build" else "'addone.so'" if what == "path" else "'<bytes>'"
        kinds = (
            ("ResourceExhaustedError", "ValueError")
            if what == "build"
            else ("ResourceExhaustedError",)
        )
        assert outcome.startswith(kinds) and named in outcome.replace(addone_path, "addone.so"), (
            left,
            what,
            outcome,
        )
        assert "no file descriptors are left" in outcome or "Too many open files" in outcome
        assert "ulimit -n" in outcome
    assert f"may have {limit}" in outcomes["0", "bytes"]
