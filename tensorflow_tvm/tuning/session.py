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
"""One call of `tensorflow_tvm.tune`: the search, its budget, its progress and its final contest."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import statistics
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tvm
from tvm import tirx

from tensorflow_tvm import compiler, prim_functions, schedules, targets
from tensorflow_tvm.guards import markers
from tensorflow_tvm.module import Module
from tensorflow_tvm.signature import Signature
from tensorflow_tvm.tune import TuningResult, duration
from tensorflow_tvm.tuning import database, search
from tensorflow_tvm.tuning.measure import Measurer, Stopped
from tensorflow_tvm.tuning.worker import random_values

_log = logging.getLogger("tensorflow_tvm")

# The final contest: rounds, seconds of each call in a round, and seconds for all.
_ROUNDS = 21
_TURN = 0.01
_LONGEST = 5.0
_WINS = 0.7  # of the rounds that a schedule has to win to be stored
_GAIN = 1.02

collect = prim_functions.collect


class Budget:
    """How much may be tried, and whether the user wants no more.

    Parameters
    ----------
    trials : int
        For each function.
    seconds : float or None
        For all functions.
    """

    def __init__(self, trials: int, seconds: float | None) -> None:
        self.trials = trials
        self.interrupted = False
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self._share = self._end

    def begin(self, functions_left: int) -> None:
        """Give the next function its part of the time that is left."""
        now = time.monotonic()
        self._share = now + (self._end - now) / functions_left

    @property
    def seconds_left(self) -> float:
        """How long this function may still take."""
        return self._share - time.monotonic()

    def is_over(self) -> bool:
        """Whether the search must end."""
        return self.interrupted or self.seconds_left <= 0

    @contextlib.contextmanager
    def until_interrupt(self) -> Iterator[None]:
        """Let the first Ctrl-C end the search, and another be as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread can be told
            return

        def interrupt(number: int, frame: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, usual)

        usual = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)


def run(
    functions: Mapping[str, Any],
    target: Any,
    *,
    libm: bool,
    references: Mapping[str, Callable],
    budget: Budget,
    folder: str | os.PathLike | None,
    seed: int,
    verbose: bool,
) -> list[TuningResult]:
    """Tune functions one after the other; see `tensorflow_tvm.tune`."""
    parsed = targets.parse(target)
    if parsed.kind.name != "llvm":
        raise ValueError(
            f"target '{parsed.kind.name}' cannot be tuned for: schedules are measured on this "
            "machine's processor. Expected 'host' or another target of kind 'llvm'."
        )
    _check_xgboost()
    tasks = [_Task(name, content, parsed, libm) for name, content in functions.items()]
    path = database.open_folder(folder)
    results = []
    with budget.until_interrupt():
        for i, task in enumerate(tasks):
            budget.begin(len(tasks) - i)
            if results and budget.is_over():
                break
            progress = _Progress(task.name, budget, verbose)
            results.append(task.run(budget, references.get(task.name), path, seed, progress))
    return results


def _check_xgboost() -> None:
    try:
        import xgboost  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Tuning needs xgboost, which cannot be imported: {error}. Install it: pip install "
            "xgboost-cpu"
        ) from error


class _Task:
    """The tuning of one function."""

    def __init__(self, name: str, obj: Any, target: tvm.target.Target, libm: bool) -> None:
        self.name = name
        self._where = f"Cannot tune '{name}'"
        (function,) = prim_functions.collect(obj).values()
        with compiler.explain_failure(self._where):
            self._signature: Signature
            self._signature, arg_spec = prim_functions.describe(function)
            self._refuse(function, arg_spec)
            self._guarded = schedules.guard(function, target)
            self._default = schedules.by_rules(self._guarded.function, target, libm)
        self._plain = schedules.unscheduled_for_tuning(self._guarded.function, libm)
        self._target = target

    def _refuse(self, function: tirx.PrimFunc, arg_spec: tuple[str, ...]) -> None:
        if schedules.is_scheduled(function):
            raise ValueError(
                "its author has scheduled it, and that is kept. Give the function without its "
                "schedule"
            )
        symbols = {
            str(size)
            for argument in self._signature.arguments
            for size in argument.shape or ()
            if not isinstance(size, int)
        }
        if symbols:
            raise ValueError(
                f"its sizes {', '.join(sorted(symbols))} are not known, and what is fast depends "
                f"on them: {self._signature}. Give it shapes of integers, such as those that "
                "matter most"
            )
        attrs = [a.name for a in self._signature.arguments if a.role == "attr"]
        if attrs:
            raise ValueError(
                f"it takes the attrs {', '.join(attrs)}, whose values are not known. Make them "
                "constants"
            )
        if any(entry.startswith("args") for entry in arg_spec[len(self._signature.inputs) :]):
            raise ValueError(
                "an input comes after an output, and functions are measured whose outputs come "
                "last. Change the order of its parameters"
            )

    def run(
        self,
        budget: Budget,
        reference: Callable | None,
        folder: Path,
        seed: int,
        progress: _Progress,
    ) -> TuningResult:
        """Search, and store what wins against the default schedule."""
        inputs = [
            tf.constant(random_values(argument.shape, argument.dtype, seed + i))
            for i, argument in enumerate(self._signature.inputs)
        ]
        rivals = {}
        if reference is not None:
            rivals["reference"] = self._call_of_reference(reference, inputs)
            progress.reference = _contest(rivals, inputs)["reference"][0]
        history, trace = self._search(budget, seed, progress)
        progress.say("comparing the best with the default schedule, as TensorFlow ops")
        times = _contest({**self._calls(trace, inputs), **rivals}, inputs)
        default = times["default"][0]
        tuned, wins = times.get("tuned", (None, 0.0))
        path = None
        if tuned is not None and tuned * _GAIN <= default and wins >= _WINS:
            entry = database.Entry(trace, default, tuned, len(history))
            path = str(database.store(folder, self._plain, self._target, entry, self.name))
        reference_time = times["reference"][0] if rivals else None
        result = TuningResult(
            self.name, default, tuned, reference_time, tuple(history), progress.default, path
        )
        progress.end(result)
        return result

    def _search(
        self, budget: Budget, seed: int, progress: _Progress
    ) -> tuple[list[float | None], Any]:
        """Return how many seconds each trial took, and the trace of the best."""
        history: list[float | None] = []
        trace = None
        best = math.inf
        outputs = len(self._signature.outputs)
        progress.say("measuring the default schedule")
        with contextlib.suppress(Stopped), contextlib.ExitStack() as stack:
            # Random operands may be zeros.
            default = markers.expand(self._default, checks=False)
            measurer = Measurer(default, outputs, self._target, seed, budget.is_over)
            try:
                stack.enter_context(measurer)
            except ValueError as error:
                raise ValueError(
                    f"{self._where}: its default schedule cannot be measured on this machine: "
                    f"{error}. The target is {self._target}."
                ) from None
            progress.default = measurer.default
            known = database.find(self._plain, self._target)
            if known is not None:
                with contextlib.suppress(ValueError):
                    best = measurer.measure(known.apply(self._plain), math.inf)
                    trace = known.trace
            with compiler.explain_failure(self._where):
                proposer = search.Search(
                    database.normalize(self._plain), self._target, budget.trials, seed
                )
            while not budget.is_over():
                progress.show(history, best, passing=True)
                with compiler.explain_failure(self._where):
                    candidates = proposer.propose()
                if not candidates:
                    break
                seconds: list[float | None] = []
                for candidate in candidates:
                    if budget.is_over():
                        raise Stopped
                    try:
                        value = measurer.measure(search.function_of(candidate), best)
                    except ValueError as error:
                        _log.info("%s: a schedule failed: %s", self._where, error)
                        value = None
                    seconds.append(value)
                    history.append(value)
                    if value is not None and value < best:
                        best, trace = value, search.trace_of(candidate)
                    progress.show(history, best, passing=True)
                progress.show(history, best, passing=False)
                proposer.learn(candidates, seconds)
        return history, trace

    def _calls(self, trace: list[Any] | None, inputs: list[tf.Tensor]) -> dict[str, Callable]:
        """Return the function as ops: with the default schedule, and with the one of `trace`."""
        functions = {"default": self._default}
        if trace is not None:
            functions["tuned"] = database.Entry(trace, 0.0, 0.0, 0).apply(self._plain)
        scheduled = {
            name: schedules.mark_scheduled(self._guarded.finish(function))
            for name, function in functions.items()
        }
        content, _ = compiler.compile_library(scheduled, self._target, where=self._where)
        module = Module(content)
        return {name: _trace_call(module[name], inputs) for name in module}

    def _call_of_reference(self, reference: Callable, inputs: list[tf.Tensor]) -> Callable:
        """Return the reference, traced; raise ValueError if it is no form of the function."""
        # A tf.function of its own, as AutoGraph may have something to convert.
        whole = reference if hasattr(reference, "get_concrete_function") else tf.function(reference)
        try:
            call = _trace_call(whole, inputs)
            results = tf.nest.flatten(call(*inputs))
        except Exception as error:
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(
                f"{self._where}: reference failed on tensors such as the function takes, "
                f"{self._signature}: {message[0]}"
            ) from error
        given = [(x.dtype.name, tuple(x.shape)) for x in results]
        expected = [(a.dtype, tuple(a.shape)) for a in self._signature.outputs]
        if given != expected:
            described = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in given)
            raise ValueError(
                f"{self._where}: reference returns ({described}), and the function is "
                f"{self._signature}. They must compute the same."
            )
        return call


def _trace_call(function: Callable, inputs: list[tf.Tensor]) -> Callable:
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in inputs]
    with tf.device("/cpu:0"):
        return tf.function(lambda *xs: function(*xs), autograph=False).get_concrete_function(*specs)


def _contest(
    calls: Mapping[str, Callable], inputs: list[tf.Tensor]
) -> dict[str, tuple[float, float]]:
    """Time calls by turns.

    Returns
    -------
    dict
        Of each, the median of its seconds, less those of a call that computes nothing; and in which
        part of the rounds it was faster than "default".
    """
    calls = {"": _trace_call(lambda *xs: tf.zeros([]), inputs), **calls}
    counts = {}
    for name, call in calls.items():
        call(*inputs)
        counts[name] = max(1, int(_TURN / timeit.timeit(lambda call=call: call(*inputs), number=1)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.monotonic()
    for round_ in range(_ROUNDS):
        if round_ >= 3 and time.monotonic() - start > _LONGEST:
            break
        names = list(calls)
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            call, count = calls[name], counts[name]
            seconds = timeit.timeit(lambda call=call: call(*inputs), number=count) / count
            times[name].append(seconds)
    results = {}
    for name in calls:
        net = [mine - nothing for mine, nothing in zip(times[name], times[""], strict=True)]
        rounds = zip(times[name], times.get("default", times[name]), strict=True)
        wins = statistics.mean(mine < default for mine, default in rounds)
        results[name] = max(statistics.median(net), 1e-9), wins
    return results


class _Progress:
    """A line on stderr about the tuning of one function."""

    def __init__(self, name: str, budget: Budget, verbose: bool) -> None:
        self._name = name
        self._budget = budget
        self._verbose = verbose
        self._terminal = sys.stderr.isatty()
        self._start = time.monotonic()
        self._width = 0
        #: Seconds of the default schedule, and of the reference if there is one.
        self.default: float | None = None
        self.reference: float | None = None

    def say(self, text: str) -> None:
        """Say what is done now."""
        self._write(text, passing=True)

    def show(self, history: list[float | None], best: float, passing: bool) -> None:
        """Say how far the search is; what is passing is for terminals only."""
        if passing and not self._terminal:
            return
        parts = [f"{len(history)} of {self._budget.trials} trials"]
        if best < math.inf and self.default:
            ratio = f"{self.default / best:.2f} x as fast as the default's {duration(self.default)}"
            parts.append(f"best kernel {duration(best)}, {ratio}")
        if self.reference is not None:
            parts.append(f"TensorFlow's op {duration(self.reference)}")
        parts.append(f"{self._time_left(len(history))} left")
        self._write("; ".join(parts), passing=True)

    def end(self, result: TuningResult) -> None:
        """Say what came of it."""
        text = (
            f"{duration(result.tuned)}, {result.speedup:.2f} x as fast as the default schedule"
            if result.path
            else f"the default schedule stays, {duration(result.default)}"
        )
        trials = "1 trial" if result.trials == 1 else f"{result.trials} trials"
        self._write(f"{trials}: {text}", passing=False)

    def _time_left(self, done: int) -> str:
        left = self._budget.seconds_left
        if done:
            pace = (time.monotonic() - self._start) / done
            left = min(left, pace * (self._budget.trials - done))
        if math.isinf(left):
            return "?"
        minutes, seconds = divmod(max(0, round(left)), 60)
        return f"{minutes}:{seconds:02}"

    def _write(self, text: str, passing: bool) -> None:
        if not self._verbose:
            return
        line = f"tensorflow_tvm: tuning {self._name}: {text}"
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
        end = "\r" if passing and self._terminal else "\n"
        print(f"{line:{self._width}}", end=end, file=sys.stderr, flush=True)
        self._width = len(line) if end == "\r" else 0
