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
"""Compiling and calling random functions in children, which may hang or die.

The process that forks them has TVM's compiler and no threads: TensorFlow is imported, and never
used.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tensorflow_tvm.tests.fuzz import guarded
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction, random_array

COMPILE_SECONDS = 10
CALL_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a function must not do.

    Attributes
    ----------
    kind : str
        "crash", "hang", "memory", "value", "gradient", "accepted", "refused" or "compile";
        "harness" if it is this code that fails.
    seed : int
    sizes : dict of str to int, optional
        What the symbols were.
    detail : str
    name : str
        "f", or "f_grad" for its gradient.
    """

    kind: str
    seed: int
    sizes: dict[str, int] | None
    detail: str
    name: str = "f"

    def __str__(self) -> str:
        sizes = "" if self.sizes is None else f" with {self.sizes}"
        return f"{self.kind}: function {self.seed} ({self.name}){sizes}: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A function in a library.

    Attributes
    ----------
    function : GeneratedFunction
    library : str
    signatures : dict of str to list
        By the names of its functions in the library, which end in _grad for its gradient: role,
        name, dtype and shape of each argument.
    """

    function: GeneratedFunction
    library: str
    signatures: dict[str, list[tuple[str, str, str, list[str]]]]


Compile = Callable[[dict[str, GeneratedFunction], Path], None]


def compile_with_guards(functions: dict[str, GeneratedFunction], path: Path) -> dict[str, Any]:
    """Compile functions into a library as `tensorflow_tvm.build` does; return their signatures."""
    from tensorflow_tvm import compiler, prim_functions

    objects = {name: function.build_te() for name, function in functions.items()}
    gradients = {name: "auto" for name, function in functions.items() if function.gradient}
    collected, links = compiler.with_gradients(objects, None, gradients or None)
    content, _ = compiler.compile_library(collected, "host", None, False, links=links)
    path.write_bytes(content)
    return {name: prim_functions.signature_of(function) for name, function in collected.items()}


class Runner:
    """Compiles and calls functions.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder.
    compile_ : callable
        Makes a library of functions by name, as `compile_with_guards`.
    """

    def __init__(self, folder: Path, compile_: Any = compile_with_guards) -> None:
        os.environ["TENSORFLOW_TVM_CACHE_DIR"] = ""
        os.environ["TENSORFLOW_TVM_TUNING_DIR"] = ""
        from tensorflow_tvm import compiler  # noqa: F401

        threads = os.listdir("/proc/self/task")
        if len(threads) > 1:
            raise RuntimeError(f"cannot fork: there are {len(threads)} threads")
        self._folder = folder
        self._compile = compile_
        self._count = 0
        guarded.compile_helper(folder)
        self.calls = 0
        self.refusals = 0
        self.uncompiled = 0

    def run(self, functions: Sequence[GeneratedFunction]) -> list[Finding]:
        """Compile `functions` into one library, call all of them, and return what is wrong."""
        compiled, findings = self._compile_all(functions)
        libraries: dict[str, list[Compiled]] = {}
        for one in compiled:
            libraries.setdefault(one.library, []).append(one)
        for library, members in libraries.items():
            findings += self._call_all(library, members)
            os.unlink(library)
        return findings

    # Compiling.

    def _compile_all(
        self, functions: Sequence[GeneratedFunction]
    ) -> tuple[list[Compiled], list[Finding]]:
        records, end = _in_child(
            lambda report: self._compile_reporting(functions, report),
            COMPILE_SECONDS if len(functions) == 1 else 5 + len(functions),
        )
        by_seed = {function.seed: function for function in functions}
        compiled, findings = [], []
        for record in records:
            function = by_seed.pop(record["seed"])
            if "signatures" in record:
                compiled.append(Compiled(function, record["library"], record["signatures"]))
            elif record["is_ours"]:
                self.uncompiled += 1
                findings.append(Finding("compile", function.seed, None, record["error"]))
        if end and len(functions) == 1:
            text = f"while it compiles: {end}"
            findings.append(Finding(_kind(end), functions[0].seed, None, text))
        elif end:
            for function in by_seed.values():
                more = self._compile_all([function])
                compiled += more[0]
                findings += more[1]
        return compiled, findings

    def _compile_reporting(
        self, functions: Sequence[GeneratedFunction], report: Callable[[dict], None]
    ) -> None:
        """Compile functions together or, if that fails, each by itself."""
        self._silence()
        path = Path(tempfile.mkstemp(suffix=".so", dir=self._folder)[1])
        named = {f"f{function.seed}": function for function in functions}
        try:
            signatures = self._compile(named, path)
        except Exception as error:
            if len(functions) > 1:
                for function in functions:
                    self._compile_reporting([function], report)
                return
            is_ours, message = _explain(error)
            report({"seed": functions[0].seed, "error": message, "is_ours": is_ours})
            return
        for name, function in named.items():
            own = {
                full: [
                    (a.role, a.name, a.dtype, [] if a.role == "attr" else list(map(str, a.shape)))
                    for a in s.arguments
                ]
                for full, s in signatures.items()
                if full in (name, f"{name}_grad")
            }
            report({"seed": function.seed, "library": str(path), "signatures": own})

    def _silence(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)

    # Calling.

    def _call_all(self, library: str, members: Sequence[Compiled]) -> list[Finding]:
        cases = [
            (one, name, sizes)
            for one in members
            for name in one.signatures
            for sizes in one.function.size_choices()
            if one.function.has_inputs(sizes)
        ]
        findings = []
        first = 0
        while first < len(cases):
            records, end = _in_child(
                lambda report, first=first: self._call_reporting(library, cases[first:], report),
                CALL_SECONDS,
            )
            texts = [record for record in records if "done" in record]
            for record in texts:
                one, name, sizes = cases[first + record["done"]]
                self.calls += 1
                self.refusals += record["refused"]
                findings += [
                    Finding(kind, one.function.seed, sizes, detail, _short(name))
                    for kind, detail in record["found"]
                ]
            first += len(texts)
            if not end:
                break
            if end == "damaged":  # and so the rest gets a process of its own
                continue
            one, name, sizes = cases[first]
            findings.append(Finding(_kind(end), one.function.seed, sizes, end, _short(name)))
            first += 1
        return findings

    def _call_reporting(
        self,
        library: str,
        cases: Sequence[tuple[Compiled, str, dict[str, int]]],
        report: Callable[[dict], None],
    ) -> None:
        self._silence()
        loaded = guarded.GuardedLibrary(Path(library), self._folder)
        guarded.load_helper(self._folder).guarded_start(report.fd)
        for at, (one, name, sizes) in enumerate(cases):
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(used.ru_utime + used.ru_stime) + CALL_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
            refused, found = check(loaded, one, name, sizes)
            report({"done": at, "refused": refused, "found": found})
            if any(kind == "memory" for kind, _ in found):
                report({"damaged": at})
                os._exit(3)


def _kind(end: str) -> str:
    if end.startswith("harness: "):
        return "harness"
    return "hang" if "SIGXCPU" in end else "crash"


def _short(name: str) -> str:
    return "f_grad" if name.endswith("_grad") else "f"


def check(
    library: guarded.GuardedLibrary, compiled: Compiled, name: str, sizes: dict[str, int]
) -> tuple[bool, list[tuple[str, str]]]:
    """Call a function once; return whether it was refused, and kinds and texts of what is wrong."""
    from tensorflow_tvm.tests.fuzz import reference, slopes

    function = compiled.function
    arrays = function.arrays(sizes)
    is_gradient = name.endswith("_grad")
    expected = reference.evaluate(function, sizes, arrays)
    signature = compiled.signatures[name]
    try:
        shapes = [[_evaluate(size, sizes) for size in shape] for _, _, _, shape in signature]
    except ZeroDivisionError:
        return True, expected.check_refusal("a size of an output divides by 0", is_gradient)
    if any(size < 0 for shape in shapes for size in shape):
        return True, expected.check_refusal("an output has a negative size", is_gradient)
    specs = [(dtype, shape) for (_, _, dtype, _), shape in zip(signature, shapes, strict=True)]
    roles = [role for role, _, _, _ in signature]
    inputs = [spec for spec, role in zip(specs, roles, strict=True) if role != "output"]
    outputs = [spec for spec, role in zip(specs, roles, strict=True) if role == "output"]
    given = _order(signature, function, arrays, inputs)
    result = library.call(name, given, outputs)
    found = [("memory", violation) for violation in result.violations]
    if function.schedule and "does not provide for" in result.error:
        return True, found  # its author's schedule writes nothing where a reduction is empty
    if result.error:
        return True, found + expected.check_refusal(result.error, is_gradient)
    found += expected.check_outputs(result.outputs, is_gradient)
    if is_gradient and not found:
        names = {value.name for value in function.inputs}
        taken = [name for role, name, _, _ in signature if role != "output"]
        gradients = [array for name, array in zip(taken, given, strict=True) if name not in names]
        found = slopes.check(function, sizes, arrays, gradients, result.outputs)
    return False, found


def _order(
    signature: Sequence[tuple[str, str, str, list[str]]],
    function: GeneratedFunction,
    arrays: Sequence[Any],
    specs: Sequence[tuple[str, list[int]]],
) -> list[Any]:
    """Return the arrays that a function takes: its inputs, and what its gradient takes besides."""
    import numpy as np

    rng = np.random.default_rng(function.seed)
    by_name = {value.name: array for value, array in zip(function.inputs, arrays, strict=True)}
    taken = [(role, name) for role, name, _, _ in signature if role != "output"]
    return [
        by_name[name].item()
        if role == "attr"
        else by_name[name]
        if name in by_name
        else random_array(rng, dtype, shape, "data")
        for (role, name), (dtype, shape) in zip(taken, specs, strict=True)
    ]


def _evaluate(size: str, sizes: dict[str, int]) -> int:
    return int(eval(size, {"min": min, "max": max}, sizes))


class _Report:
    """Writes records to a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __call__(self, record: dict) -> None:
        data = (json.dumps(record) + "\n").encode()
        while data:
            data = data[os.write(self.fd, data) :]


def _in_child(work: Callable[[Any], None], seconds: int) -> tuple[list[dict], str]:
    """Run `work(report)` in a child; return what it reported, and how it ended: "" if well."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            signal.alarm(12 * seconds)
            report = _Report(writer)
            try:
                work(report)
                code = 0
            except BaseException:
                os.write(writer, f"harness: {traceback.format_exc()}".encode())
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    lines = text.split("\n")
    records = [json.loads(line) for line in lines if line.startswith("{")]
    records = [record for record in records if "damaged" not in record]
    rest = "\n".join(line for line in lines if line and not line.startswith("{"))
    if os.WIFSIGNALED(status):
        return records, f"{signal.Signals(os.WTERMSIG(status)).name} {rest}".strip()
    if os.WEXITSTATUS(status) == 0:
        return records, ""
    return records, rest if rest.startswith("harness: ") else "damaged"


def _explain(error: Exception) -> tuple[bool, str]:
    """Return whether an error is a fault, and its message.

    TVM may refuse to make TE tensors, not every gradient can be derived, and a division by a
    constant 0 is refused.
    """
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    message = re.sub(r"\s+", " ", str(error))
    is_ours = "build_te" not in frames and not re.search(
        r"cannot be derived|integer division by zero", message
    )
    return is_ours, f"{type(error).__name__}: {message[:600]}"


def seeds(seed: int, count: int) -> range:
    """Return the seeds of a run's functions."""
    return range(seed * 1_000_000, seed * 1_000_000 + count)


def restart_without_threads(module: str) -> None:
    """Start a program's process again unless NumPy has started no threads in it."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], environment)
