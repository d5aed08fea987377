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
"""Measures schedules in another process, so that one that crashes or hangs does no harm."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import tvm
from tvm import tirx

from tensorflow_tvm.tuning import worker

_START = 300.0  # seconds in which the first reply must come: TVM is imported and the default built
_LEAST = 30.0  # seconds that a schedule may take to be built and measured, at least


class Stopped(Exception):
    """The caller's budget is used up."""


class Measurer:
    """A process that measures the schedules of one function; a context manager.

    Parameters
    ----------
    function : tirx.PrimFunc
        The function with its default schedule: what others are compared with.
    outputs : int
        How many of its parameters, the last ones, it writes.
    target : tvm.target.Target
        A processor that this machine can run.
    seed : int
        For the values of the inputs.
    is_over : callable
        Returns True when measuring has to stop.
    """

    def __init__(
        self,
        function: tirx.PrimFunc,
        outputs: int,
        target: tvm.target.Target,
        seed: int,
        is_over: Callable[[], bool],
    ) -> None:
        self._begin = {
            "do": "begin",
            "function": _to_json(function),
            "target": tvm.ir.save_json(target),
            "outputs": outputs,
            "seed": seed,
        }
        self._threads = target.attrs.get("num-cores", None)
        self._is_over = is_over
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        #: How long the default schedule takes, in seconds.
        self.default = 0.0

    def __enter__(self) -> Measurer:
        try:
            self.default = self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def measure(self, function: tirx.PrimFunc, best: float) -> float:
        """Return how many seconds a schedule takes.

        Parameters
        ----------
        function : tirx.PrimFunc
            The function with the schedule.
        best : float
            Seconds that the best so far takes; one that takes much longer is timed coarsely.

        Raises
        ------
        ValueError
            If it cannot be built, computes something else, crashes, or takes too long.
        Stopped
            If the budget is used up before the result is there.
        """
        if self._process is None:
            self._start()
        request = {"do": "measure", "function": _to_json(function), "best": best}
        return self._ask(request, max(_LEAST, 20 * self.default))

    def _start(self) -> float:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if self._threads is not None:
            environment["TVM_NUM_THREADS"] = str(int(self._threads))
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            # -P: the modules beside it are no top-level ones.
            [sys.executable, "-P", worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the caller, who keeps the best so far
        )
        return self._ask(self._begin, _START)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):  # what was not sent cannot be sent any more
                    stream.close()
            self._process.wait()
            self._errors.close()
            self._process = None

    def _ask(self, request: dict[str, Any], limit: float) -> float:
        deadline = time.monotonic() + limit
        process = self._process
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise ValueError(self._how_it_died()) from None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(0.2):
                if self._is_over():
                    self._stop()
                    raise Stopped
                if time.monotonic() > deadline:
                    self._stop()
                    raise ValueError(f"it took more than {limit:.0f} s")
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise ValueError(self._how_it_died())
        reply = json.loads(line)
        if "error" in reply:
            raise ValueError(reply["error"])
        return float(reply["seconds"])

    def _how_it_died(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self._stop()
        if status < 0:
            return f"it crashed: {signal.Signals(-status).name}"
        return f"its process ended with status {status}: {said[-1] if said else 'without a word'}"


def _to_json(function: tirx.PrimFunc) -> str:
    return tvm.ir.save_json(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}))
