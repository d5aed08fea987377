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
"""Searches for faster schedules than the default ones, and keeps what it finds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from tensorflow_tvm.build import compiler
from tensorflow_tvm.op import Op


@dataclasses.dataclass(frozen=True)
class TuningResult:
    """What tuning found for one function. All times are in seconds.

    Attributes
    ----------
    function : str
        The function's name; for a `tensorflow_tvm.op` its signature, too.
    default : float
        How long a call of the op takes with the default schedule. The three are measured by turns,
        as calls of a `tf.function`, less what a call of one that computes nothing takes.
    tuned : float or None
        With the best schedule that was found; None if none could be measured.
    reference : float or None
        Of `reference`, where it was given.
    history : tuple of (float or None)
        How long the kernel alone took in each trial, without TensorFlow and with its data in the
        caches; None where a schedule could not be compiled, computed something else, crashed or
        took too long.
    default_kernel : float or None
        The same for the default schedule; None if the search ended before that was measured.
    path : str or None
        The file with the schedule. None if it is not faster than the default one, which then stays.
    """

    function: str
    default: float
    tuned: float | None
    reference: float | None
    history: tuple[float | None, ...]
    default_kernel: float | None
    path: str | None

    @property
    def trials(self) -> int:
        """How many schedules were tried."""
        return len(self.history)

    @property
    def speedup(self) -> float:
        """How many times as fast as before the function is from now on; 1 if nothing is stored."""
        return self.default / self.tuned if self.path and self.tuned else 1.0


class Tuning(tuple[TuningResult, ...]):
    """What tuning found for all functions; prints as a table."""

    def __str__(self) -> str:
        rows = [("", "trials", "default", "tuned", "speed-up", "reference", "")]
        for result in self:
            rows.append(
                (
                    result.function,
                    str(result.trials),
                    duration(result.default),
                    duration(result.tuned),
                    f"{result.speedup:.2f}",
                    duration(result.reference),
                    "stored" if result.path else "the default stays",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for name, *cells, last in rows:
            numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:-1], strict=True))
            lines.append("  ".join([f"{name:<{widths[0]}}", *numbers, last]).rstrip())
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike) -> None:
        """Draw the best time so far over the trials, for each function.

        Parameters
        ----------
        path : str or os.PathLike
            Where to write the image; its suffix says the format, as in ``"tuning.svg"``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If nothing was tuned, or the suffix is of no known format.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "Plotting needs matplotlib, which cannot be imported: "
                f"{error}. Install it: pip install matplotlib"
            ) from error
        if not self:
            raise ValueError("There is nothing to plot: no function was tuned.")
        figure = Figure(figsize=(7, 3 * len(self)), layout="constrained")
        for axes, result in zip(figure.subplots(len(self), squeeze=False)[:, 0], self, strict=True):
            _draw(axes, result)
        figure.savefig(path)


def tune(
    obj: Any,
    target: Any = "host",
    trials: int = 64,
    seconds: float | None = None,
    name: str | None = None,
    *,
    libm: bool = False,
    reference: Callable | Mapping[str, Callable] | None = None,
    database: str | os.PathLike | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> Tuning:
    """Search for faster schedules than the default ones, by TVM's MetaSchedule.

    Schedules are compiled and measured on this machine, in a process of their own, and compared
    with the default schedule: their results, and at the end their times as TensorFlow ops. One
    that is faster is stored, and `build`, `export_library` and `op` take it from then on, in this
    process and others. Ctrl-C ends the search, and what was found until then counts.

    Parameters
    ----------
    obj
        What `build` takes, of functions without schedules and with sizes that are known; or an
        `Op`, of which all are tuned that have been compiled. It compiles them anew when it is
        called next; a `tf.function` that has been traced keeps what it has.
    target, name, libm
        See `build`; an `Op` has its own. The target is a processor that this machine can run.
    trials : int, optional
        How many schedules of each function are measured at most.
    seconds : float, optional
        How long the search takes at most, for all functions. The compiling of the last schedules
        comes on top.
    reference : callable or dict, optional
        TensorFlow's form of the function, to be timed as well; for several functions, a dict from
        their names.
    database : str or os.PathLike, optional
        The folder to store schedules in, and to look for them from now on. By default the first in
        the environment variable ``TENSORFLOW_TVM_TUNING_DIR``, a list with colons; else
        ``~/.local/share/tensorflow_tvm/tuned``.
    seed : int, optional
        For the search and the values of the inputs. Times vary, and what is found with them.
    verbose : bool, optional
        Show the progress on stderr.

    Returns
    -------
    Tuning
        A tuple of `TuningResult`, to be printed or plotted.

    Raises
    ------
    ValueError
        If a function cannot be tuned: its author has scheduled it, its sizes are not known, it
        takes attrs; or an argument is not as described.
    TypeError
        If `obj` is nothing that can be compiled.
    ImportError
        If apache-tvm or xgboost is not installed.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> x = te.placeholder((64, 64), "float32", name="x")
    >>> y = te.compute((64, 64), lambda i, j: x[i, j] * x[j, i], name="y")
    >>> results = tftvm.tune([x, y], trials=2, name="product", database="tuned", verbose=False)
    >>> results[0].function
    'product'
    >>> module = tftvm.build([x, y], name="product")  # with the tuned schedule, if it is faster
    """
    _check_integer("trials", trials, least=1)
    _check_integer("seed", seed, least=0)
    if seconds is not None and not (
        isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0
    ):
        raise ValueError(f"seconds must be a number above 0, or None, given {seconds!r}.")
    compiler()  # says what is missing
    from tensorflow_tvm.tuning import session

    functions: dict[str, Any] = {}
    if isinstance(obj, Op):
        if not obj.compiled:
            raise ValueError(
                f"TVM op '{obj.__name__}' has not been compiled for any shapes yet. Call it on "
                "tensors first, and tune it then."
            )
        functions = dict(obj.compiled)
        target, libm = obj.target, obj.libm
    else:
        functions = session.collect(obj, name)
    references = _references(reference, functions)
    results = session.run(
        functions,
        target,
        libm=libm,
        references=references,
        budget=session.Budget(trials, seconds),
        folder=database,
        seed=seed,
        verbose=verbose,
    )
    if isinstance(obj, Op) and any(result.path for result in results):
        obj.recompile()
    return Tuning(results)


def _check_integer(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, given {value!r}.")


def _references(reference: Any, functions: Mapping[str, Any]) -> dict[str, Callable]:
    """Return the reference of each function that has one, by the function's name."""
    if reference is None:
        return {}
    found = reference
    if not isinstance(reference, Mapping):
        if len(functions) != 1:
            raise ValueError(
                f"reference is one function, and {len(functions)} are tuned: "
                f"{', '.join(functions)}. Give a dict from their names."
            )
        found = {next(iter(functions)): reference}
    for name, function in found.items():
        if name not in functions:
            raise ValueError(
                f"reference has '{name}', and the functions are {', '.join(functions)}."
            )
        if not callable(function):
            raise TypeError(f"reference must be a function on tensors, given {function!r}.")
    return dict(found)


def duration(seconds: float | None) -> str:
    """Return a time for people to read, of three digits; a dash for None."""
    if seconds is None:
        return "–"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _draw(axes: Any, result: TuningResult) -> None:
    """Draw the trials of one function, and the best so far."""
    tried = [(i, 1e3 * value) for i, value in enumerate(result.history, 1) if value is not None]
    best: list[float] = []
    for _, value in tried:
        best.append(min([value, *best[-1:]]))
    numbers = [i for i, _ in tried]
    axes.plot(numbers, [value for _, value in tried], ".", color="0.7", label="each trial")
    axes.plot(numbers, best, ".-", drawstyle="steps-post", label="best so far")
    if result.default_kernel is not None:
        axes.axhline(1e3 * result.default_kernel, color="tab:orange", label="default schedule")
    if result.reference is not None:
        label = "reference, as a TensorFlow op"
        axes.axhline(1e3 * result.reference, color="tab:green", linestyle=":", label=label)
    axes.set_title(result.function, fontsize="medium", wrap=True)
    axes.set_xlabel("trial")
    axes.set_ylabel("kernel alone, ms")
    axes.set_yscale("log")
    axes.set_xlim(0, max(2, result.trials + 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
