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
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tvm
import tvm_ffi
from tvm import tirx
from tvm.support import cc

from tensorflow_tvm import (
    build_cache,
    device_code,
    metadata,
    packed_calls,
    prim_functions,
    schedules,
    targets,
)
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.guards import lowering

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
    target, cuda_target = targets.split(target)
    carried = None
    if cuda_target is not None:
        carried, _ = compile_library(obj, cuda_target, name, libm, where, links)
    parsed = targets.parse(target)
    toolkit = None
    if parsed.kind.name == "cuda":
        toolkit = device_code.toolkit(targets.cuda_architectures(target))
    functions = prim_functions.collect(obj, name)
    said: dict[str, metadata.Said] = {}
    scheduled = {}
    for key, function in functions.items():
        with explain_failure(where or f"Cannot build TVM function '{key}'"):
            signature, order = prim_functions.describe(function)
            function = packed_calls.check(schedules.apply(function, parsed, libm), parsed)
            function = prim_functions.widen_attrs(function)
            gradient = (links or {}).get(key)
            said[key] = metadata.Said(signature, gradient, schedules.in_place(function), order)
            scheduled[key] = function.with_attr("global_symbol", key)
    module = tvm.IRModule(scheduled)
    what = ", ".join(functions)
    key = _cache_key(module, parsed, toolkit, carried, said)
    where = where or f"Cannot build TVM function '{what}'"
    content = build_cache.get_or_build(
        key, lambda: _compile(module, parsed, toolkit, carried, said, what, where)
    )
    return content, what


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
        "versions": [tvm.__version__, tvm_ffi.__version__],
        "metadata": _METADATA_HEAD + _METADATA_FUNCTION + _METADATA_FEATURES,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _compile(
    module: tvm.IRModule,
    target: tvm.target.Target,
    toolkit: Toolkit | None,
    carried: bytes | None,
    said: Mapping[str, metadata.Said],
    what: str,
    where: str,
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tensorflow_tvm-") as folder, _progress(what, target):
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
                tvm.compile(module, target=target, tir_pipeline=lowering.PIPELINE).export_library(
                    str(path), addons=addons
                )
            else:
                nvcc, _, architectures = toolkit
                with device_code.without_runtime():
                    executable = tvm.compile(module, target=target, tir_pipeline=lowering.PIPELINE)
                executable.export_library(
                    str(path),
                    addons=addons,
                    fpack_imports=lambda host, *_: device_code.pack(
                        host, nvcc, architectures, Path(folder)
                    ),
                )
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
def _progress(what: str, target: tvm.target.Target) -> Iterator[None]:
    """Say so where a build takes more than a second."""
    start = time.monotonic()
    shown = threading.Event()

    def show() -> None:
        shown.set()
        print(f"tensorflow_tvm: compiling {what} for {target.kind.name} …", file=sys.stderr)

    timer = threading.Timer(1.0, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if shown.is_set():
            seconds = time.monotonic() - start
            print(f"tensorflow_tvm: compiled {what} in {seconds:.1f} s", file=sys.stderr)


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
