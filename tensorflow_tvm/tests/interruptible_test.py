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
"""Compiling on a thread of its own: Ctrl-C ends it, and all else is as if it were not."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading

import pytest
import tvm
from tvm import te
from tvm.ir.instrument import pass_instrument

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests.subprocesses import python

_INTERRUPTED = """
import ctypes, os, threading
import tensorflow_tvm as tftvm
import tvm
from tvm import te

libc = ctypes.CDLL(None)
mutex = (ctypes.c_char * 64)()
compile_ = tvm.compile

def held(*args, **kwargs):
    libc.pthread_mutex_lock(mutex)
    print("held", flush=True)
    libc.pthread_mutex_lock(mutex)  # no signal ends this
    try:
        compile_(*args, **kwargs)
        print("compiled", flush=True)
    except BaseException:
        print("ended early", flush=True)
        raise

def files():
    return [name for name in os.listdir(os.environ["TENSORFLOW_TVM_CACHE_DIR"]) if ".so" in name]

def threads():
    return [t for t in threading.enumerate() if t.name == "tensorflow_tvm-compile"]

x = te.placeholder((te.var("n"),), "float32", name="x")
tensors = [x, te.compute(x.shape, lambda i: x[i] + 1.0, name="y")]
tvm.compile = held
try:
    tftvm.build(tensors)
except KeyboardInterrupt:
    print("interrupted", len(threads()), files(), flush=True)
tvm.compile = compile_
print(tftvm.build(tensors)["main"]([1.0]).numpy(), len(files()), flush=True)
for name in files():
    os.remove(os.path.join(os.environ["TENSORFLOW_TVM_CACHE_DIR"], name))
libc.pthread_mutex_unlock(mutex)
for thread in threads():
    thread.join()
print(files(), flush=True)
"""


def test_interrupt(tmp_path):
    """It returns while TVM is held up; what is abandoned ends at its next pass, without a trace."""
    command = python(_INTERRUPTED, env={"TENSORFLOW_TVM_CACHE_DIR": str(tmp_path / "cache")})
    with subprocess.Popen(**command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted 1 []\n"
            assert process.stdout.readline() == "[2.] 1\n"
            assert process.stdout.readline() == "ended early\n"
            assert process.stdout.readline() == "[]\n"
            assert process.wait(60) == 0
        finally:
            process.kill()


@contextlib.contextmanager
def _started(code):
    command = python(code, env={"TENSORFLOW_TVM_CACHE_DIR": ""})
    with subprocess.Popen(
        **command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _read_until(stream, text):
    """Return the lines until one has `text`."""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


_BUILD = "try:\n    tftvm.build(tensors)\n"
_HELD = f"""{_INTERRUPTED.partition(_BUILD)[0]}{_BUILD}
except KeyboardInterrupt:
    print("buffered", end="")
    raise
"""

_SHORT = """
from tensorflow_tvm import interruptible
interruptible._SECONDS = (0.1, 0.2)
"""


def test_end_of_the_process_while_tvm_is_held_up():
    """It waits, and another Ctrl-C ends that."""
    with _started(_HELD) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGINT)
        _read_until(process.stderr, "KeyboardInterrupt")
        _read_until(process.stderr, "tensorflow_tvm: the process ends after TVM's pass")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("buffered", "")
    assert process.returncode == 128 + signal.SIGINT


def test_end_of_the_process_does_not_wait_forever():
    with _started(_SHORT + _HELD) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert output == "buffered"
    *_, raised, waits = errors.splitlines()
    assert raised == "KeyboardInterrupt"
    assert waits.startswith("tensorflow_tvm: the process ends after TVM's pass")
    assert process.returncode == 128 + signal.SIGINT


_LONG = """
import ctypes, signal
import tensorflow_tvm as tftvm
from tvm import te, topi

n = te.var("n")
x = te.placeholder((n, n, 64, 64), "float32", name="x")
weights = [te.placeholder((64, 64, 3, 3), "float32", name=f"w{i}") for i in range(8)]
y = x
for weight in weights:
    y = topi.nn.relu(topi.nn.conv2d_nchw(y, weight, 1, 1, 1))

class Action(ctypes.Structure):  # Linux's struct sigaction
    _fields_ = [
        ("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p),
    ]

def restarts():
    action = Action()
    ctypes.CDLL(None).sigaction(signal.SIGINT, None, ctypes.byref(action))
    return bool(action.flags & 0x10000000)

first = topi.nn.conv2d_nchw(x, weights[0], 1, 1, 1)
tftvm.build([x, weights[0], first], name="first")
print(restarts(), flush=True)
tftvm.build([x, *weights, y], name="long")
"""


def test_interrupt_of_what_tvm_compiles():
    """Nothing is held up: a build of seconds is abandoned, and the process ends as Python's do."""
    with _started(_LONG) as process:
        assert process.stdout.readline() == "False\n"  # no build changes what Ctrl-C does
        _read_until(process.stderr, "tensorflow_tvm: compiling long")
        while True:  # TVM's prover swallows the signal while it runs
            process.send_signal(signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=2)
                break
            except subprocess.TimeoutExpired:
                continue
    assert "tensorflow_tvm: compiled long" not in errors
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)


@pytest.fixture
def compiled(monkeypatch):
    """What is called in place of tvm.compile, before that is."""
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    calls = []
    compile_ = tvm.compile

    def spy(*args, **kwargs):
        for call in calls:
            call()
        return compile_(*args, **kwargs)

    monkeypatch.setattr(tvm, "compile", spy)
    return calls


def _build():
    x = te.placeholder((te.var("n"),), "float32", name="x")
    return tftvm.build([x, te.compute(x.shape, lambda i: x[i] + 1.0, name="y")], "llvm")


def test_scopes_of_the_caller(compiled):
    found = []
    compiled.append(
        lambda: found.append(
            (
                tvm.target.Target.current(),
                dict(tvm.transform.PassContext.current().config),
                threading.current_thread() is threading.main_thread(),
            )
        )
    )
    target = tvm.target.Target("llvm")
    with target, tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        _build()
    _build()
    ((seen, config, is_main), (none, no_config, _)) = found
    assert str(seen) == str(target)
    assert config == {"tirx.disable_assert": True}
    assert (none, no_config) == (None, {})
    assert not is_main


def test_instruments_run_on_their_thread(compiled):
    threads = set()

    @pass_instrument
    class Spy:
        def run_before_pass(self, module, info):
            threads.add(threading.current_thread())

    with tvm.transform.PassContext(instruments=[Spy()]):
        _build()
    assert threads == {threading.main_thread()}


def test_other_threads_compile_themselves(compiled):
    found = []
    compiled.append(lambda: found.append(threading.current_thread()))
    results = []
    thread = threading.Thread(target=lambda: results.append(_build()))
    thread.start()
    thread.join()
    assert found == [thread]
    assert results[0]["main"]([1.0]).numpy().tolist() == [2.0]


def test_errors_are_as_they_were(compiled):
    error = RuntimeError("on purpose")

    def fail():
        raise error

    compiled.append(fail)
    with pytest.raises(ValueError, match="Cannot build TVM function 'main': on purpose") as raised:
        _build()
    assert raised.value.__context__ is error


def test_long_compilations_say_what_they_are(compiled, monkeypatch):
    """It waits until the line has been seen."""
    compiler = sys.modules["tensorflow_tvm.compiler"]
    seen = threading.Event()

    class Stderr:
        text = ""

        def write(self, text):
            self.text += text
            if "still" in self.text and self.text.endswith("\n"):
                seen.set()

        def flush(self):
            pass

    stderr = Stderr()
    compiled.append(lambda: seen.wait(60))
    monkeypatch.setattr(compiler, "_SECONDS", (0.01, 0.02))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        _build()
    first, second, third = stderr.text.splitlines()
    assert first == "tensorflow_tvm: compiling main for llvm …"
    assert second == (
        "tensorflow_tvm: still compiling after 0 s, Ctrl-C stops it: "
        "main(x: float32[n]) -> (y: float32[n]), steps: y"
    )
    assert third.startswith("tensorflow_tvm: compiled main in ")
