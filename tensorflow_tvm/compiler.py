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
"""From TVM functions to a library's bytes. Needs apache-tvm, and a C compiler to link with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.support import cc
from tvm_ffi.structural import structural_walk

from tensorflow_tvm import (
    build_cache,
    device_code,
    interruptible,
    metadata,
    packed_calls,
    prim_functions,
    schedules,
    targets,
)
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.private_folder import private_folder
from tensorflow_tvm.schedules import pipeline
from tensorflow_tvm.system_errors import MORE_DESCRIPTORS, has_no_descriptors

# What compiles for CUDA: nvcc, its version, the architectures.
Toolkit = tuple[str, str, tuple[str, ...]]

# What metadata calls the devices of a target.
_DEVICES = {"llvm": "cpu", "c": "cpu"}

# tvm-ffi's convention, in C, so that it compiles in no time. The string is made by libtvm_ffi, and
# so outlives the library.
_METADATA_HEAD = """
#include <stddef.h>
#include <stdint.h>
typedef struct { const char* data; size_t size; } ByteArray;
extern int TVMFFIStringFromByteArray(const ByteArray* bytes, void* result);
"""
_METADATA_FUNCTION = """
__attribute__((visibility("default"))) int __tvm_ffi__metadata_%(name)s(
    void* self, const void* args, int32_t num_args, void* result) {
  static const char text[] = %(text)s;
  ByteArray bytes = {text, sizeof(text) - 1};
  return TVMFFIStringFromByteArray(&bytes, result);
}
"""
_SECONDS = (1.0, 10.0)  # after which a message says that something is being compiled, and what
_MOST_STEPS = 12  # that it names
# What LLVM has taken for granted of the processor; the op library compares it before it loads code.
_METADATA_FEATURES = """
__attribute__((visibility("default"))) const char __tensorflow_tvm__cpu_features[] = "%s";
"""


def compile_library(
    obj: Any,
    target: Any,
    name: str | None = None,
    libm: bool = False,
    where: str | None = None,
    links: Mapping[str, Gradient] | None = None,
) -> tuple[bytes, str]:
    """Compile what `obj` stands for, or take it from the cache.

    Parameters
    ----------
    obj, target, name, libm
        See `tensorflow_tvm.build`.
    where : str, optional
        What the message of a failure begins with.
    links : dict of str to Gradient, optional
        Which function gives a function's gradient, for the library to say so.

    Returns
    -------
    content : bytes
        The library.
    what : str
        The names of its functions.
    """
    return interruptible.run(lambda: _compile_library(obj, target, name, libm, where, links))


def _compile_library(
    obj: Any,
    target: Any,
    name: str | None,
    libm: bool,
    where: str | None,
    links: Mapping[str, Gradient] | None,
) -> tuple[bytes, str]:
    target, cuda_target = targets.split(target)
    carried = None
    if cuda_target is not None:
        carried, _ = _compile_library(obj, cuda_target, name, libm, where, links)
    parsed = targets.parse(target)
    toolkit = None
    if parsed.kind.name == "cuda":
        toolkit = device_code.toolkit(targets.cuda_architectures(target))
    functions = prim_functions.collect(obj, name)
    what = ", ".join(functions)
    with _progress(what, parsed) as details:
        return _compile_functions(
            functions, parsed, toolkit, carried, libm, where, links or {}, details
        ), what


def _compile_functions(
    functions: Mapping[str, tirx.PrimFunc],
    target: tvm.target.Target,
    toolkit: Toolkit | None,
    carried: bytes | None,
    libm: bool,
    where: str | None,
    links: Mapping[str, Gradient],
    details: list[str],
) -> bytes:
    said: dict[str, metadata.Said] = {}
    scheduled = {}
    for key, function in functions.items():
        interruptible.check()
        with explain_failure(where or f"Cannot build TVM function '{key}'"):
            signature, order = prim_functions.describe(function)
            details.append(f"{key}{signature}, steps: {_steps(function)}")
            function = packed_calls.check(schedules.apply(function, target, libm), target)
            function = prim_functions.widen_attrs(function)
            gradient = links.get(key)
            said[key] = metadata.Said(signature, gradient, schedules.in_place(function), order)
            scheduled[key] = function.with_attrs({"global_symbol": key, pipeline.LIBM: libm})
    module = tvm.IRModule(scheduled)
    where = where or f"Cannot build TVM function '{', '.join(functions)}'"
    return build_cache.get_or_build(
        _cache_key(module, target, toolkit, carried, said),
        lambda: _compile(module, target, toolkit, carried, said, where),
        interruptible.when_abandoned,
    )


def _steps(function: tirx.PrimFunc) -> str:
    """Return the names of what a function computes, the last ones of many."""
    names: list[str] = []
    structural_walk(function.body, [(s_tir.SBlock, lambda block: names.append(block.name_hint))])
    names = [name for name in names if name != "root"]
    return ", ".join([*(["…"] if len(names) > _MOST_STEPS else []), *names[-_MOST_STEPS:]])


def _cache_key(
    module: tvm.IRModule,
    target: tvm.target.Target,
    toolkit: Toolkit | None,
    carried: bytes | None,
    said: Mapping[str, metadata.Said],
) -> str:
    """Return a digest of all that the library's content depends on."""
    parts = {
        "module": module.script(show_meta=True),
        "target": str(target),
        "toolkit": toolkit,
        "carried": carried and hashlib.sha256(carried).hexdigest(),
        "said": {name: metadata.write(what, ()) for name, what in said.items()},
        "versions": [tvm.__version__, tvm_ffi.__version__, pipeline.version()],
        "metadata": _METADATA_HEAD + _METADATA_FUNCTION + _METADATA_FEATURES,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _compile(
    module: tvm.IRModule,
    target: tvm.target.Target,
    toolkit: Toolkit | None,
    carried: bytes | None,
    said: Mapping[str, metadata.Said],
    where: str,
) -> bytes:
    with private_folder(where) as folder:
        path = Path(folder) / "library.so"
        with explain_failure(where):
            _check_linker()
            devices = ["cuda" if toolkit else _DEVICES.get(target.kind.name, target.kind.name)]
            addons = []
            if carried is not None:
                devices.append("cuda")
                addons.append(_compile_carried(carried, Path(folder)))
            addons.append(
                _compile_metadata(said, devices, targets.cpu_features(target), Path(folder))
            )
            if toolkit is None:
                executable = tvm.compile(module, target=target, tir_pipeline=pipeline.NAME)
                executable.export_library(str(path), addons=addons, workspace_dir=str(folder))
            else:
                nvcc, _, architectures = toolkit
                with device_code.without_runtime():
                    executable = tvm.compile(module, target=target, tir_pipeline=pipeline.NAME)
                executable.export_library(
                    str(path),
                    addons=addons,
                    workspace_dir=str(folder),
                    fpack_imports=lambda host, *_: device_code.pack(
                        host, nvcc, architectures, Path(folder)
                    ),
                )
        interruptible.check()
        return path.read_bytes()


def _check_linker() -> None:
    compiler = cc.get_cc()
    if not compiler or shutil.which(compiler) is None:
        raise ValueError(
            f"a C++ compiler is needed to link, and {compiler or 'g++'} is not found on PATH; "
            "install g++, or name one by the environment variable CXX"
        )


def _compile_carried(library: bytes, folder: Path) -> str:
    """Compile an object file that holds a library for CUDA, and return its path."""
    content, source, path = (folder / f"carried.{suffix}" for suffix in ("bin", "c", "o"))
    content.write_bytes(library)
    source.write_text(device_code.embed("__tensorflow_tvm__library_cuda", content))
    command = [cc.get_cc(), "-x", "c", "-fPIC", "-c", "-o", str(path), str(source)]
    subprocess.run(command, text=True, check=True, capture_output=True)
    return str(path)


def _compile_metadata(
    said: Mapping[str, metadata.Said],
    devices: Sequence[str],
    features: Sequence[str],
    folder: Path,
) -> str:
    """Compile an object file with what is to be known of the library, and return its path."""
    source = _METADATA_HEAD + "".join(
        # JSON's escapes are C's, but for the / that json.dumps leaves alone.
        _METADATA_FUNCTION % {"name": name, "text": json.dumps(metadata.write(what, devices))}
        for name, what in said.items()
    )
    source += _METADATA_FEATURES % ",".join(features)
    path = folder / "metadata.o"
    command = [cc.get_cc(), "-x", "c", "-O1", "-fPIC", "-c", "-o", str(path), "-"]
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return str(path)


@contextlib.contextmanager
def explain_failure(what: str) -> Iterator[None]:
    """Turn what TVM raises into a ValueError: `what`, TVM's message, the line that caused it."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{what}: {_explain(error)}") from None


def _explain(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"the C compiler failed: {error.stderr}"
    if has_no_descriptors(error):
        return f"no file descriptors are left ({error}). {MORE_DESCRIPTORS}"
    message = re.split(r"\n(?:Traceback|Stack trace|\[bt\])", str(error))[0].strip()
    lines = message.splitlines()
    if len(lines) > 12:
        message = "\n".join([*lines[:12], "…"])
    place = _source_line(error)
    return f"{message or type(error).__name__}{place}"


def _source_line(error: Exception) -> str:
    """Return where in the user's program an error came from, if that can be told."""
    modules = (tf, tvm, tvm_ffi)
    packages = [Path(file).parent for file in (__file__, *(module.__file__ for module in modules))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not path.is_file() or path == Path(contextlib.__file__):
            continue  # TVM's own frames name files of the machine that built it
        if any(path.is_relative_to(package) for package in packages):
            continue
        return f" ({frame.filename}, line {frame.lineno}: {frame.line})"
    return ""


@contextlib.contextmanager
def _progress(what: str, target: tvm.target.Target) -> Iterator[list[str]]:
    """Say so where a build takes more than a second, and after ten what it is.

    The list that the scope gets is for what is known of each function.
    """
    start = time.monotonic()
    done = threading.Event()
    details: list[str] = []
    abandoned: list[bool] = []

    def say(text: str) -> None:
        print(f"tensorflow_tvm: {text}", file=sys.stderr)

    def watch() -> None:
        first, second = _SECONDS
        if done.wait(first):
            return
        say(f"compiling {what} for {target.kind.name} …")
        if not done.wait(second - first):
            say(f"still compiling after {second:.0f} s, Ctrl-C stops it: {'; '.join(details)}")
            done.wait()
        if not abandoned:
            say(f"compiled {what} in {time.monotonic() - start:.1f} s")

    def be_silent() -> None:
        abandoned.append(True)
        done.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with interruptible.when_abandoned(be_silent):
            yield details
    finally:
        done.set()
        watcher.join()


def explain(obj: Any, target: Any, name: str | None, libm: bool) -> list[tuple[str, str, str]]:
    """Return function, block and schedule of each block that `obj` stands for."""
    parsed = targets.parse(target)
    lines = []
    for key, function in prim_functions.collect(obj, name).items():
        notes: schedules.Notes = {}
        with explain_failure(f"Cannot build TVM function '{key}'"):
            schedules.apply(function, parsed, libm, notes)
        lines.extend((key, block, "; ".join(texts)) for block, texts in notes.items())
    return lines


def is_gpu(target: Any) -> bool:
    """Whether `target` is a GPU."""
    return "gpu" in targets.parse(target).keys


def with_gradients(
    obj: Any, name: str | None, gradient: Any
) -> tuple[dict[str, tirx.PrimFunc], dict[str, Gradient]]:
    """Return the functions that `obj` stands for, and which are gradients of which.

    See `derivatives.with_gradients`.
    """
    if gradient is None:
        return prim_functions.collect(obj, name), {}
    from tensorflow_tvm import derivatives

    return derivatives.with_gradients(obj, name, gradient)


# What else is asked of the compiler.
placeholders = prim_functions.placeholders
check_results = prim_functions.check_results
