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
"""Code for NVIDIA's GPUs: compiled by nvcc on any machine, and what of it is in a library.

Without a GPU, TVM puts CUDA C into a library, in the format in which its runtime saves modules
(CUDAFallbackModuleNode in TVM's sources), and leaves the compiling to whoever loads the library.
Here the compiled code takes the place of the CUDA C. That needs neither a driver nor a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tvm_ffi

# Turing to Blackwell: the cards of data centres and of desktops.
DEFAULT_ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

# TVM's own switch. The lock is there because the process has but one environment.
_NO_RUNTIME = "TVM_COMPILE_FORCE_FALLBACK"
_environment = threading.Lock()

# As TVM's own call of nvcc has it, but for --use_fast_math: results should be TensorFlow's.
_OPTIONS = [
    "-O3",
    "-std=c++17",
    "--expt-relaxed-constexpr",
    *(
        f"-U__CUDA_NO_{name}__"
        for name in (
            "HALF_OPERATORS",
            "HALF_CONVERSIONS",
            "BFLOAT16_OPERATORS",
            "BFLOAT16_CONVERSIONS",
            "BFLOAT162_OPERATORS",
            "BFLOAT162_CONVERSIONS",
        )
    ),
]

_EMBEDDING = """
__asm__(
    ".pushsection .rodata\\n"
    ".balign 16\\n"
    ".global %(symbol)s\\n"
    ".type %(symbol)s, @object\\n"
    "%(symbol)s:\\n"
    ".incbin \\"%(path)s\\"\\n"
    ".size %(symbol)s, . - %(symbol)s\\n"
    ".popsection\\n");
"""

_FATBIN_MAGIC = struct.pack("<I", 0xBA55ED50)
_PTX, _ELF = 1, 2


def find_nvcc() -> str | None:
    """Return the path of nvcc: of the environment, the machine, or PyPI's package."""
    folders = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    candidates = [
        os.environ.get("CUDACXX"),
        *(os.path.join(folder, "bin", "nvcc") for folder in folders if folder),
        "nvcc",
        "/usr/local/cuda/bin/nvcc",
    ]
    packages = importlib.util.find_spec("nvidia")
    for place in (packages and packages.submodule_search_locations) or ():
        candidates.append(os.path.join(place, "cu13", "bin", "nvcc"))
    found = (shutil.which(candidate) for candidate in candidates if candidate)
    return next(filter(None, found), None)


def toolkit(architectures: Sequence[str] | None) -> tuple[str, str, tuple[str, ...]]:
    """Return nvcc's path, what it says its version is, and what to compile for.

    Parameters
    ----------
    architectures : sequence of str or None
        What the user asks for, such as ``("sm_80",)``. None: those of `DEFAULT_ARCHITECTURES` that
        nvcc knows.

    Raises
    ------
    ValueError
        If there is no nvcc, or it does not know what the user asks for.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise ValueError(
            "target 'cuda' needs NVIDIA's compiler, and there is no nvcc: $CUDACXX, $CUDA_HOME, "
            "$PATH, /usr/local/cuda and the package nvidia-cuda-nvcc have none. Install the CUDA "
            "toolkit, or PyPI's: pip install 'tensorflow_tvm[cuda]'"
        )
    version, known = _ask(nvcc)
    if architectures is None:
        chosen = tuple(name for name in DEFAULT_ARCHITECTURES if name in known)
    else:
        chosen = tuple(architectures)
    unknown = [name for name in chosen if name not in known and name.rstrip("af") not in known]
    if unknown or not chosen:
        raise ValueError(
            f"target 'cuda': {nvcc} ({version}) does not compile for "
            f"{', '.join(unknown or DEFAULT_ARCHITECTURES)}; it does for {', '.join(known)}."
        )
    return nvcc, version, chosen


@functools.cache
def _ask(nvcc: str) -> tuple[str, tuple[str, ...]]:
    """Return nvcc's version, and the architectures that it knows."""
    try:
        version, known = (
            subprocess.run([nvcc, flag], check=True, capture_output=True, text=True).stdout
            for flag in ("--version", "--list-gpu-code")
        )
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None) or error
        raise ValueError(f"target 'cuda' needs nvcc, and {nvcc} does not work: {output}") from None
    return (version.strip().splitlines()[-1:] or ["unknown version"])[0], tuple(known.split())


@contextlib.contextmanager
def without_runtime() -> Iterator[None]:
    """Let TVM make CUDA C of device code, also where its CUDA runtime would compile that."""
    if tvm_ffi.get_global_func("ffi.Module.create.cuda", allow_missing=True) is None:
        yield
        return
    with _environment:
        before = os.environ.get(_NO_RUNTIME)
        os.environ[_NO_RUNTIME] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_NO_RUNTIME]
            else:
                os.environ[_NO_RUNTIME] = before


def pack(module: Any, nvcc: str, architectures: Sequence[str], folder: Path) -> str:
    """Write what `module` imports as a C file, with CUDA C compiled, and return the file's path.

    Parameters
    ----------
    module : tvm_ffi.Module
        Host code as TVM has compiled it, which imports its device code.
    nvcc, architectures
        See `toolkit`.
    folder : pathlib.Path
        Where to write.
    """
    text = tvm_ffi.get_global_func("runtime.ModulePackImportsToC")(module, False, "")
    numbers = text.partition("] = {")[2].partition("}")[0]
    content = bytes(int(number, 16) for number in numbers.split(",") if number.strip())
    sources = [
        imported.inspect_source("cuda").encode()
        for imported in module.imports
        if imported.kind == "cuda"
    ]
    compiled = {code: _compile(code, nvcc, architectures, folder) for code in sources}
    (folder / "imports.bin").write_bytes(_replace(content, compiled))
    path = folder / "imports.c"
    path.write_text(embed("__tvm_ffi__library_bin", folder / "imports.bin"), encoding="utf-8")
    return str(path)


def embed(symbol: str, path: Path) -> str:
    """Return C that defines `symbol` as the content of a file."""
    return _EMBEDDING % {"symbol": symbol, "path": path}


def _compile(code: bytes, nvcc: str, architectures: Sequence[str], folder: Path) -> bytes:
    """Compile CUDA C for GPUs, and for those to come."""
    source, fatbin = folder / "kernels.cu", folder / "kernels.fatbin"
    source.write_bytes(code)
    numbers = [name.removeprefix("sm_") for name in architectures]
    codes = [f"arch=compute_{number},code=sm_{number}" for number in numbers]
    # Drivers compile PTX for what is newer. sm_90a and its like have no successors.
    if general := [int(number) for number in numbers if number.isdigit()]:
        codes.append(f"arch=compute_{max(general)},code=compute_{max(general)}")
    command = [nvcc, "--fatbin", *_OPTIONS, *(f"-gencode={code}" for code in codes)]
    command += ["--threads=0", "-o", str(fatbin), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not fatbin.exists():
        output = done.stderr.strip() or done.stdout.strip() or "it wrote no file"
        raise ValueError(f"nvcc failed: {output}")
    return fatbin.read_bytes()


def _replace(content: bytes, compiled: Mapping[bytes, bytes]) -> bytes:
    """Return what a library imports with CUDA C replaced by what was compiled.

    In it are, after the size of the rest: which module imports which, as two lists of 64-bit
    integers; then the modules, each by its kind and, unless it is the library itself, what it
    saved. A CUDA module saves the form of its code, its kernels' parameters and its code.
    """
    rest = memoryview(content)[8:]

    def take(unit: int = 1) -> bytes:
        nonlocal rest
        size = unit * struct.unpack_from("<Q", rest)[0]
        taken, rest = bytes(rest[8 : 8 + size]), rest[8 + size :]
        return taken

    parts = [_sized(take(8), 8), _sized(take(8), 8)]
    while rest:
        kind = take()
        parts.append(_sized(kind))
        if kind == b"_lib":
            continue
        saved = take()
        for code, binary in compiled.items():
            head, tail = _sized(b"cuda"), _sized(code)
            if kind == b"cuda" and saved.startswith(head) and saved.endswith(tail):
                saved = _sized(b"fatbin") + saved[len(head) : -len(tail)] + _sized(binary)
                break
        else:
            if kind == b"cuda":
                raise ValueError("this TVM saves CUDA modules in a format that is not known")
        parts.append(_sized(saved))
    joined = b"".join(parts)
    return _sized(joined)


def _sized(content: bytes, unit: int = 1) -> bytes:
    """Return `content` after its size, as TVM's streams have it."""
    return struct.pack("<Q", len(content) // unit) + content


def architectures_in(library: bytes) -> tuple[str, ...]:
    """Return what a library has device code for: ``"sm_80"``, or ``"compute_120"`` for PTX.

    The format is that of NVIDIA's header fatbinary_section.h: a magic number, 16 bits each of
    version and of the header's size, 64 bits of the size; then entries, each with its kind, its
    header's size, its own size and, after 28 bytes, the number of its architecture.
    """
    found = []
    at = library.find(_FATBIN_MAGIC)
    while at >= 0:
        _, _, header, size = struct.unpack_from("<IHHQ", library.ljust(at + 16, b"\0"), at)
        entry, end = at + header, at + header + size
        if end <= len(library):
            while entry + 32 <= end:
                kind, _, header, size = struct.unpack_from("<HHIQ", library, entry)
                number = struct.unpack_from("<I", library, entry + 28)[0]
                if kind not in (_PTX, _ELF) or header < 32:
                    break
                found.append(f"{'compute' if kind == _PTX else 'sm'}_{number}")
                entry += header + size
        at = library.find(_FATBIN_MAGIC, at + 1)
    return tuple(dict.fromkeys(found))
