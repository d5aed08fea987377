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
"""``python -m tensorflow_tvm doctor``: what is installed, whether it works, and what to do if not.

It runs where the package cannot be imported, so that it imports no more than the standard library.
What may fail or crash, `doctor_probe` does in another process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorflow_tvm import __version__, build_cache, versions

DESCRIPTION = (
    "Show what is installed and how it is set up, load the op library, and run and compile "
    "functions. Each problem comes with its cure. The exit status is 0 if there is none, 1 if "
    "there is, and 2 if the command line is wrong."
)

_INSTALL = {
    "tvm_ffi": versions.INSTALL_TVM_FFI,
    "tensorflow": versions.INSTALL_TENSORFLOW,
}
_REINSTALL = "Install the wheel again, or in a checkout: ./bazelw build //tensorflow_tvm:ops"
_CRASHED = (
    "The last lines say where. `python -X faulthandler -c 'import tensorflow_tvm'` may say more. "
    "Libraries in LD_PRELOAD or LD_LIBRARY_PATH, and packages of several versions in one "
    "environment, are common reasons: try a new virtual environment."
)
_STEPS = {
    "copies": "looking for libtvm_ffi",
    "tvm_ffi": "import tvm_ffi",
    "tensorflow": "import tensorflow",
    "driver": "asking NVIDIA's driver",
    "package": "import tensorflow_tvm",
    "trust": "loading a library",
    "op": "running an op",
    "tvm_runtime": "loading TVM's runtime",
    "cuda_runtime": "loading CUDA's runtime",
    "build": "compiling a function",
}
_SECONDS = 300.0
_FEATURES = "sse4_2 avx avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni avx512_bf16 amx_tile"


@dataclasses.dataclass
class Row:
    """One line of the report; `problem` and `cure` are both set, or neither is."""

    name: str
    value: str
    problem: str | None = None
    cure: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine the installation, print a report and return the exit status."""
    rows = examine()
    healthy = not any(row.problem for row in rows)
    if options.json:
        report = {"healthy": healthy, "rows": [dataclasses.asdict(row) for row in rows]}
        print(json.dumps(report, indent=2))
    else:
        print(_table(rows))
    return 0 if healthy else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command by itself."""
    parser = argparse.ArgumentParser(
        prog="python -m tensorflow_tvm doctor", description=DESCRIPTION
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    return options.run(options)


def examine() -> list[Row]:
    """Return what there is to say of this installation."""
    results, failure = _probe()
    rows = [
        *_machine(),
        *_packages(results),
        *_op_library(results),
        *_compiler(results),
        *_cuda(results),
        *_threads(results),
        *_trust(results),
        _cache(),
        *_temporary_folders(),
    ]
    return rows + ([failure] if failure else [])


def _table(rows: list[Row]) -> str:
    width = max(len(row.name) for row in rows)
    lines = [f"{'!' if row.problem else ' '} {row.name:<{width}}  {row.value}" for row in rows]
    problems = [row for row in rows if row.problem]
    for number, row in enumerate(problems, 1):
        lines += ["", f"Problem {number}: {row.name}: {row.problem}", f"Cure: {row.cure}"]
    lines += ["", f"{len(problems)} problem{'s' * (len(problems) != 1)} found"]
    return "\n".join(lines)


def _probe() -> tuple[dict[str, dict[str, Any]], Row | None]:
    """Return the results of `doctor_probe`'s steps, and what ended it before its time."""
    # A program, and not a module of the package, which may not be importable. Without -P, Python
    # would look for modules among ours first.
    command = [sys.executable, "-P", str(Path(__file__).with_name("doctor_probe.py"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as steps:
            process = subprocess.Popen(command, env=environment, stdout=steps, stderr=said)
            try:
                status: int | None = process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = None
            steps.seek(0)
            lines = [json.loads(line) for line in steps if line.endswith("\n")]
        said.seek(0)
        words = said.read().strip().splitlines()[-3:]
    results = {line["end"]: line["result"] for line in lines if "end" in line}
    if status == 0:
        return results, None
    step = _STEPS[lines[-1]["begin"]] if lines and "begin" in lines[-1] else "starting Python"
    if status is None:
        ended = f"did not end within {_SECONDS:.0f} seconds"
    elif status < 0:
        names = {number.value: number.name for number in signal.Signals}
        ended = f"ended the process by {names.get(-status, f'signal {-status}')}"
    else:
        ended = f"ended the process with status {status}"
    problem = "; ".join([f"{step} {ended}", *words])
    return results, Row("process", f"{step} failed", problem, _CRASHED)


def _from(result: dict[str, Any] | None, name: str, cure: str) -> Row | None:
    """Return a row for a step that failed, or was not come to; None if it succeeded."""
    if result is None:
        return Row(name, "not tried")
    if "error" not in result:
        return None
    # Our own messages end with the cure.
    problem, *own = re.split(r"(?<=[.)]) (?=Install )", result["error"].strip(), maxsplit=1)
    return Row(name, "does not work", problem, own[0] if own else cure)


def _machine() -> Iterator[Row]:
    libc = " ".join(platform.libc_ver())
    yield Row("Python", f"{platform.python_version()}  {sys.executable}")
    yield Row("platform", f"{platform.system()} {platform.release()}, {platform.machine()}, {libc}")
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        info = ""
    found = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in info.splitlines())
    }
    flags = found.get("flags", "").split()
    features = " ".join(name for name in _FEATURES.split() if name in flags)
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} processors"
    yield Row("CPU", f"{found.get('model name', 'unknown')}, {cores}, {features}")


def _packages(results: dict[str, Any]) -> Iterator[Row]:
    installed = {}
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for step, label, name in [
        ("tensorflow", "TensorFlow", "TensorFlow"),
        ("tvm_ffi", "tvm-ffi", "apache-tvm-ffi"),
    ]:
        result = results.get(step)
        row = _from(result, label, f"Install it: {_INSTALL[step]}")
        if row is None:
            row = Row(label, f"{result['version']}  {result['path']}")
            if step == "tensorflow":
                cuda = f"CUDA {result['cuda']}" if result["cuda"] else "CPU only"
                row.value = f"{result['version']} ({cuda})  {result['path']}"
        elif row.problem:
            row.problem = f"{name} cannot be imported: {row.problem}"
        yield row
        if step == "tensorflow" and result and "flags" in result:
            yield Row("ABI flags", " ".join(result["flags"]))
    if {"tensorflow", "tensorflow-cpu"} <= installed.keys():
        yield Row(
            "TensorFlow twice",
            f"tensorflow {installed['tensorflow']}, tensorflow-cpu {installed['tensorflow-cpu']}",
            "both are installed, into the same folder: the files are a mixture",
            "pip uninstall tensorflow tensorflow-cpu, and install one of them",
        )
    copies = (results.get("copies") or {}).get("copies", [])
    if len(copies) > 1:
        yield Row(
            "libtvm_ffi",
            ", ".join(copies),
            "there are several copies of it, and a process can have one only",
            "Take the others out of LD_PRELOAD, of LD_LIBRARY_PATH and of sys.path; or import "
            "tensorflow_tvm before what brings them",
        )


def _op_library(results: dict[str, Any]) -> Iterator[Row]:
    package = Path(__file__).parent
    result = results.get("package")
    row = _from(result, "op library", _REINSTALL)
    yield Row("tensorflow_tvm", f"{__version__}  {package}")
    if row is not None:
        yield row
        return
    yield Row("op library", f"built for TensorFlow {result['built_for']}  {result['path']}")
    yield (
        Row("XLA", "works")
        if result["xla"]
        else Row(
            "XLA",
            "cannot compile TVM functions",
            result["xla_warning"] or "_tvm_dso_xla.so is not beside the op library",
            _REINSTALL,
        )
    )
    yield _from(results.get("op"), "op", _REINSTALL) or Row(
        "op", f"ran {', '.join(results['op']['ways'])}"
    )


def _compiler(results: dict[str, Any]) -> Iterator[Row]:
    runtime = results.get("tvm_runtime")
    reinstall = f"pip install --force-reinstall --no-deps apache-tvm=={versions.TVM}"
    if runtime and runtime.get("path", "") is None:
        yield Row(
            "TVM", "not installed; compiling needs it: pip install 'tensorflow_tvm[compiler]'"
        )
        return
    yield _from(runtime, "TVM runtime", reinstall) or Row("TVM runtime", runtime["path"])
    built = results.get("build")
    yield _from(built, "compiler", reinstall) or Row(
        "compiler", f"TVM {built['version']} compiled a function, which ran"
    )


def _cuda(results: dict[str, Any]) -> Iterator[Row]:
    driver = results.get("driver") or {}
    tensorflow = results.get("tensorflow") or {}
    gpus = driver.get("gpus", 0)
    if driver.get("there") and not gpus:
        said = (
            driver.get("missing")
            or driver.get("error")
            or f"cuInit returned {driver.get('cuInit')}"
        )
        yield Row(
            "CUDA driver",
            "does not work",
            f"there is a GPU, and NVIDIA's driver cannot be used: {said}",
            "Look what nvidia-smi says. In a container, start it with --gpus=all",
        )
    elif "version" in driver:
        yield Row("CUDA driver", f"CUDA {driver['version']}, GPUs: {gpus}")
    else:
        yield Row("CUDA driver", "none")
    if gpus and "version" in tensorflow:
        yield from _cuda_packages(results, tensorflow)
    package = results.get("package") or {}
    if "nvcc" in package:
        none = "none; target=\"cuda\" needs it: pip install 'tensorflow_tvm[cuda]'"
        yield Row("nvcc", package["nvcc"] or none)


def _cuda_packages(results: dict[str, Any], tensorflow: dict[str, Any]) -> Iterator[Row]:
    if not tensorflow["cuda"]:
        yield Row("TensorFlow's GPUs", "none, as it is built without CUDA: ops run on the CPU")
    elif not tensorflow["gpus"]:
        yield Row(
            "TensorFlow's GPUs",
            "none",
            "the driver has GPUs, and TensorFlow does not see them",
            f"pip install 'tensorflow[and-cuda]=={versions.TENSORFLOW}.*', and see what TensorFlow "
            "logs with TF_CPP_MIN_LOG_LEVEL=0",
        )
    else:
        yield Row("TensorFlow's GPUs", str(len(tensorflow["gpus"])))
    cure = "pip install 'tensorflow_tvm[cuda]'"
    yield _from(results.get("cuda_runtime"), "CUDA runtime", cure) or Row("CUDA runtime", "CUDA 13")


def _threads(results: dict[str, Any]) -> Iterator[Row]:
    intra_op = (results.get("tensorflow") or {}).get("intra_op")
    pool = os.environ.get("TENSORFLOW_TVM_THREADPOOL")
    row = Row("threads", "TVM's own" if pool == "tvm" else "TensorFlow's")
    if intra_op is not None:
        row.value += f", intra-op: {intra_op or 'one per processor'}"
    if pool not in (None, "", "tvm"):
        row.problem = f"TENSORFLOW_TVM_THREADPOOL is '{pool}', which is not known"
        row.cure = "Unset it, for TensorFlow's threads, or set it to tvm"
    yield row
    for name in ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        if (value := os.environ.get(name)) is None:
            continue
        row = Row(name, value)
        # OpenMP allows a list, one for each level of nesting.
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*" if name[0] == "O" else r"[1-9]\d*", value):
            row.problem, row.cure = f"it is '{value}'", "Set it to a number of threads, or unset it"
        yield row


def _trust(results: dict[str, Any]) -> Iterator[Row]:
    said = results.get("trust") or {}
    for name in ("TENSORFLOW_TVM_TRUSTED_DIGESTS", "TENSORFLOW_TVM_LIBRARY_ROOTS"):
        if (value := os.environ.get(name)) is None:
            continue
        row = Row(name, value or "(empty: nothing may be loaded)")
        message = said.get(name) or ""
        # That it refuses our own library is what it is for.
        meant = re.search("does not list its digest| allows files in |allows nothing", message)
        if message and (not meant or "which is not there" in message):
            what = message.partition("': ")[2].rstrip(".")  # without the library's name
            row.problem, row.cure = what, "Correct the variable, or unset it to allow all"
        yield row


def _cache() -> Row:
    path = build_cache.folder()
    if path is None:
        return Row("cache", "off, as TENSORFLOW_TVM_CACHE_DIR is empty")
    try:
        build_cache.check(path)
    except OSError as error:
        return Row(
            "cache",
            path,
            f"compiled libraries cannot be kept in {path}: {error}",
            "Set TENSORFLOW_TVM_CACHE_DIR to a folder of your own (chmod 700), or to nothing to do "
            "without the cache",
        )
    sizes = []
    for file in Path(path).glob("*.so"):
        with contextlib.suppress(FileNotFoundError):  # another process may tidy up
            sizes.append(file.stat().st_size)
    return Row("cache", f"{path}, libraries: {len(sizes)}, {sum(sizes) / 2**20:.1f} MiB")


def _temporary_folders() -> Iterator[Row]:
    """Try what libraries are loaded from: see cc/runtime/snapshot.cc."""
    usable, unusable = [], []
    for folder in filter(None, (os.environ.get("TMPDIR"), "/dev/shm", "/tmp")):
        try:
            shutil.rmtree(tempfile.mkdtemp(prefix="tensorflow_tvm-doctor-", dir=folder))
            usable.append(folder)
        except OSError as error:
            unusable.append(f"{folder} ({error.strerror})")
    row = Row("temporary folder", ", ".join([*usable, *(f"not {text}" for text in unusable)]))
    if not usable:
        row.problem = "no folder can be written to, and libraries are loaded from one"
        row.cure = "Set TMPDIR to a folder that can be written to"
    yield row
    memory = _memory_file()
    if memory is None:
        yield Row("memory file", "works")
        return
    row = Row("memory file", f"none ({memory}): private files take its place")
    if usable and all(os.statvfs(folder).f_flag & os.ST_NOEXEC for folder in usable):
        row.problem = (
            f"there is neither a memory file ({memory}) nor a temporary folder that code may be "
            "run from"
        )
        row.cure = "Set TMPDIR to a folder that is not mounted noexec"
    yield row


def _memory_file() -> str | None:
    """Return why libraries cannot be loaded from a memory file, or None."""
    try:
        file = os.memfd_create("tensorflow_tvm", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        return str(error.strerror)
    try:
        return None if os.access(f"/proc/self/fd/{file}", os.R_OK) else "no /proc"
    finally:
        os.close(file)
