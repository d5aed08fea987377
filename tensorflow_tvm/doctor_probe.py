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
"""What `python -m tensorflow_tvm doctor` does in a process of its own, which it may take down.

Each step prints one line of JSON when it begins and one when it has ended. It is run as a program,
and so imports nothing of the package before the step that does.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TRUST = ("TENSORFLOW_TVM_TRUSTED_DIGESTS", "TENSORFLOW_TVM_LIBRARY_ROOTS")


def copies_of_tvm_ffi() -> dict[str, Any]:
    """Return the copies of libtvm_ffi in this process, and the installed one."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    paths = {line.split(maxsplit=5)[-1] for line in maps if "/libtvm_ffi.so" in line}
    installed = _folder("tvm_ffi", "lib/libtvm_ffi.so")
    if installed:
        # The same file may be known by two paths.
        paths.add(f"{installed}/lib/libtvm_ffi.so")
    return {"copies": sorted({os.path.realpath(path) for path in paths})}


def import_tvm_ffi() -> dict[str, Any]:
    """Import tvm-ffi, which has to come before TensorFlow."""
    import tvm_ffi

    return {"version": tvm_ffi.__version__, "path": os.path.dirname(tvm_ffi.__file__)}


def import_tensorflow() -> dict[str, Any]:
    """Import TensorFlow, and ask it how it was built."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    return {
        "version": tf.__version__,
        "path": os.path.dirname(tf.__file__),
        "cuda": str(build["cuda_version"]) if build.get("is_cuda_build") else None,
        "flags": [f for f in tf.sysconfig.get_compile_flags() if not f.startswith("-I")],
        "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],
        "intra_op": tf.config.threading.get_intra_op_parallelism_threads(),
    }


def ask_cuda_driver() -> dict[str, Any]:
    """Ask NVIDIA's driver for its version, and for the number of GPUs that it lets us use."""
    there = os.path.exists("/dev/nvidiactl")
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"there": there, "missing": str(error)}
    if status := driver.cuInit(0):
        return {"there": there, "cuInit": status}
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    major, minor = version.value // 1000, version.value % 1000 // 10
    return {"there": there, "version": f"{major}.{minor}", "gpus": count.value}


def import_package() -> dict[str, Any]:
    """Import tensorflow_tvm, which loads the op library."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from tensorflow_tvm import device_code, op_library

    path = op_library.find()
    return {
        "path": str(path),
        "built_for": op_library.built_for(path),
        "xla": op_library.has_xla,
        "xla_warning": next((str(w.message) for w in caught if "XLA" in str(w.message)), None),
        "nvcc": device_code.find_nvcc(),
    }


def ask_for_trust() -> dict[str, Any]:
    """Load a library under each of the variables that say what may be loaded."""
    import tensorflow as tf

    said = {}
    values = {name: os.environ.pop(name) for name in _TRUST if name in os.environ}
    for name, value in values.items():
        os.environ[name] = value
        try:
            _doctors_library()
            said[name] = None
        except tf.errors.PermissionDeniedError as error:
            said[name] = error.message
        finally:
            del os.environ[name]  # what follows is about other things
    return said


def run_op() -> dict[str, Any]:
    """Call a function that was compiled with the op library, in three ways."""
    import tensorflow as tf

    from tensorflow_tvm import op_library

    addone = _doctors_library()["addone"]
    x = tf.constant([1.0, 2.0, 3.0])
    ways = {"eagerly": addone, "in tf.function": tf.function(addone)}
    if op_library.has_xla:
        ways["under XLA"] = tf.function(addone, jit_compile=True)
    for way, function in ways.items():
        if (result := function(x).numpy().tolist()) != [2.0, 3.0, 4.0]:
            raise ValueError(f"x + 1 of [1, 2, 3] is {result} {way}, expected [2, 3, 4]")
    return {"ways": list(ways)}


def load_tvm_runtime() -> dict[str, Any]:
    """Load TVM's runtime, as the libraries that need it do."""
    folder = _folder("tvm", "lib/libtvm_runtime.so")
    if folder is None:
        return {"path": None}
    path = f"{folder}/lib/libtvm_runtime.so"
    ctypes.CDLL(path)
    return {"path": path}


def load_cuda_runtime() -> dict[str, Any]:
    """Load the CUDA runtime that TVM's is linked to, from where the op library looks for it."""
    folder = _folder("nvidia", "cu13/lib/libcudart.so.13")
    ctypes.CDLL(f"{folder}/cu13/lib/libcudart.so.13" if folder else "libcudart.so.13")
    return {}


def build_function() -> dict[str, Any]:
    """Compile a function with a parallel loop, without the cache, and call it."""
    if importlib.util.find_spec("tvm") is None:
        return {"version": None}
    import numpy as np

    from tensorflow_tvm.build import build, compiler

    compiler()  # says what is missing
    import tvm
    from tvm import te

    os.environ["TENSORFLOW_TVM_CACHE_DIR"] = ""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    double = build([x, te.compute((n,), lambda i: x[i] * 2.0, name="y")], name="double")
    values = np.arange(1_000_000, dtype="float32")
    np.testing.assert_array_equal(double["double"](values).numpy(), values * 2)
    return {"version": tvm.__version__}


def _doctors_library() -> Any:
    import tensorflow_tvm as tftvm
    from tensorflow_tvm import op_library

    return tftvm.Module(op_library.find().with_name("_tvm_dso_doctor.so"))


def _folder(package: str, file: str) -> str | None:
    """Return which folder of a package has the file, without importing it."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((folder for folder in folders if os.path.isfile(f"{folder}/{file}")), None)


def _run(name: str, step: Callable[[], dict[str, Any]], output: Any) -> bool:
    print(json.dumps({"begin": name}), file=output, flush=True)
    try:
        result = step()
    except Exception as error:
        # TensorFlow's errors have their text in `message`, without what the op is called.
        text = getattr(error, "message", None) or str(error)
        result = {"error": f"{type(error).__name__}: {text}"}
    print(json.dumps({"end": name, "result": result}), file=output, flush=True)
    return "error" not in result


def main() -> None:
    """Do one step after the other."""
    # What is imported may print too.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _run("copies", copies_of_tvm_ffi, output)
    imported = [
        _run("tvm_ffi", import_tvm_ffi, output),
        _run("tensorflow", import_tensorflow, output),
    ]
    _run("driver", ask_cuda_driver, output)
    if all(imported) and _run("package", import_package, output):
        _run("trust", ask_for_trust, output)
        _run("op", run_op, output)
        _run("tvm_runtime", load_tvm_runtime, output)
        _run("cuda_runtime", load_cuda_runtime, output)
        _run("build", build_function, output)
        _run("copies", copies_of_tvm_ffi, output)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
