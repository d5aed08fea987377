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
"""Compiling that Ctrl-C ends at once, though TVM's passes cannot be interrupted.

Only the main thread gets KeyboardInterrupt, and only between two bytecodes. So it waits while
another thread compiles. What is abandoned ends before its next pass, and stores nothing. The
process waits for that at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tvm
from tvm.ir.instrument import PassInstrument

Result = TypeVar("Result")

# TVM calls itself as deep as expressions are nested; only what is used takes memory.
_STACK = 64 << 20

# A lock's wait without a timeout may be one that no signal ends, see `_let_signals_interrupt`.
_INTERVAL = 0.1

# When the process's end says that it waits for what is abandoned, and when it waits no longer.
_SECONDS = (1.0, 10.0)

_abandoned: list[threading.Thread] = []


class Abandoned(BaseException):
    """Ends a compilation that nobody waits for any longer."""


class _Compilation:
    """One that runs on a thread of its own.

    Attributes
    ----------
    abandoned : bool
        Whether nobody waits for it any longer.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.abandoned = False
        self._work = work
        self._done = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        _running.compilation = self
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            _let_signals_interrupt()
            self._done.set()

    def wait(self) -> None:
        while not self._done.wait(_INTERVAL):
            pass

    def result(self) -> Any:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # which has this frame
        return self._result

    def abandon(self) -> None:
        with self._lock:
            self.abandoned = True
            for callback in self._callbacks:
                callback()

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


class _Running(threading.local):
    compilation: _Compilation | None = None


_running = _Running()


class _Check(PassInstrument):
    """Ends an abandoned compilation before its next pass."""

    def run_before_pass(self, mod: Any, info: Any) -> None:
        check()


def _let_signals_interrupt() -> None:
    """Undo what Z3 does to Ctrl-C.

    Z3, which proves for TVM, installs SIGINT's handler again such that system calls go on after
    it, and Python code that waits in one does not see it before that ends.
    """
    if callable(signal.getsignal(signal.SIGINT)):
        signal.siginterrupt(signal.SIGINT, True)


def _wait_for_abandoned() -> None:
    """Wait until what is abandoned has ended, at the process's end.

    Python ends a daemon's thread where that comes back to it while Python finalizes, by unwinding
    its stack. TVM's frames there let nothing through, and the process would abort.
    """
    start = time.monotonic()
    says, ends = (start + seconds for seconds in _SECONDS)
    try:
        while alive := [thread for thread in _abandoned if thread.is_alive()]:
            alive[0].join(_INTERVAL)
            if time.monotonic() > ends:
                break
            if time.monotonic() > says:
                says = ends
                with contextlib.suppress(Exception):
                    print(
                        "tensorflow_tvm: the process ends after TVM's pass that Ctrl-C abandoned, "
                        f"or in {_SECONDS[1] - _SECONDS[0]:.0f} s, or with Ctrl-C at once",
                        file=sys.stderr,
                        flush=True,
                    )
        else:
            return
    except BaseException:  # as in `run`
        pass
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(128 + signal.SIGINT)


def _abandon(compilation: _Compilation, thread: threading.Thread) -> None:
    if not _abandoned:
        atexit.register(_wait_for_abandoned)
    _abandoned.append(thread)
    compilation.abandon()


def run(work: Callable[[], Result]) -> Result:
    """Return what `work` returns, or raise what it raises; Ctrl-C ends the waiting for it at once.

    What it sees is what its caller sees: the current target, the current `PassContext`, context
    variables. With instruments of the caller's it runs on the caller's thread, since they may
    keep what they measure by thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    context = tvm.transform.PassContext.current()
    if not is_main or context.instruments:
        try:
            return work()
        finally:
            _let_signals_interrupt()
    target = tvm.target.Target.current()

    def scoped() -> Result:
        with contextlib.ExitStack() as scopes:
            if target is not None:
                scopes.enter_context(target)
            scopes.enter_context(
                tvm.transform.PassContext(
                    context.opt_level,
                    context.required_pass,
                    context.disabled_pass,
                    [_Check()],
                    context.config,
                )
            )
            return work()

    compilation = _Compilation(scoped)
    variables = contextvars.copy_context()
    thread = threading.Thread(
        target=lambda: variables.run(compilation.run), name="tensorflow_tvm-compile", daemon=True
    )
    stack = threading.stack_size(_STACK)
    try:
        try:
            thread.start()
        finally:
            threading.stack_size(stack)
        compilation.wait()
    except BaseException:  # KeyboardInterrupt, or what another handler of a signal raises
        _abandon(compilation, thread)
        raise
    return compilation.result()


def check() -> None:
    """Raise `Abandoned` if this thread compiles what nobody waits for any longer."""
    if _running.compilation is not None and _running.compilation.abandoned:
        raise Abandoned


def when_abandoned(callback: Callable[[], None]) -> contextlib.AbstractContextManager:
    """Call `callback` if what this thread compiles is abandoned in the scope."""
    if _running.compilation is None:
        return contextlib.nullcontext()
    return _running.compilation.calling(callback)
