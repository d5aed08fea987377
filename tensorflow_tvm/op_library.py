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
"""Finds, checks and loads the op library, `_tvm_dso_ops.so`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import warnings
from pathlib import Path
from types import ModuleType

from tensorflow_tvm import versions

_FILE = "_tvm_dso_ops.so"
_XLA_FILE = "_tvm_dso_xla.so"  # beside it; what XLA compiles the ops to

_REBUILD = (
    "Install the wheel again, or in a checkout build it again: ./bazelw build //tensorflow_tvm:ops"
)
_DOCTOR = "`python -m tensorflow_tvm doctor` looks for the reason."

# Before the op library, and so before anything else that may bring in libtvm_ffi: two copies of it
# cannot live in one process, and one that is loaded already is shared.
try:
    import tvm_ffi
except (ImportError, OSError, RuntimeError) as error:  # it raises the latter without its library
    raise ImportError(
        "tensorflow_tvm needs the package apache-tvm-ffi, which cannot be imported "
        f"({error}). Install it: {versions.INSTALL_TVM_FFI}"
    ) from error

try:
    import tensorflow as tf
except ImportError as error:
    raise ImportError(
        f"tensorflow_tvm needs TensorFlow, which cannot be imported ({error}). Install it: "
        f"{versions.INSTALL_TENSORFLOW}"
    ) from error

from packaging.specifiers import SpecifierSet  # noqa: E402


def find() -> Path:
    """Return the path of the op library.

    Raises
    ------
    ImportError
        If it has not been built.
    """
    package = Path(__file__).resolve().parent
    # In an installed package and under Bazel it lies beside this file; in a checkout, where Bazel
    # leaves what it builds.
    places = [package / _FILE, package.parent / "bazel-bin" / package.name / _FILE]
    # Under Bazel this file may be a link into the checkout, and the library a file beside the link.
    places.insert(0, Path(__file__).absolute().parent / _FILE)
    for place in places:
        if place.is_file():
            return place
    raise ImportError(
        f"tensorflow_tvm's op library {_FILE} has not been built. Looked for "
        f"{', '.join(map(str, places[1:]))}. {_REBUILD}"
    )


def check_tvm_ffi(expected: str, purpose: str) -> None:
    """Check that tvm-ffi is one of the versions that are `expected`.

    Raises
    ------
    ImportError
        If it is another one, with which what follows may crash.
    """
    if not SpecifierSet(expected).contains(tvm_ffi.__version__, prereleases=True):
        raise ImportError(
            f"{purpose} needs apache-tvm-ffi{expected}, and apache-tvm-ffi {tvm_ffi.__version__} "
            f"is installed. Install one that fits: pip install 'apache-tvm-ffi{expected}'"
        )


def built_for(path: Path) -> str:
    """Return the version of TensorFlow that the op library at `path` was built for.

    It is read, not loaded: one built for another TensorFlow may crash the process.

    Raises
    ------
    ImportError
        If it is no op library.
    """
    match = re.search(rb"tensorflow_tvm-build-info (\{[^}]*\})", path.read_bytes())
    if match is None:
        raise ImportError(f"{path} is not tensorflow_tvm's op library. {_REBUILD}")
    return json.loads(match[1])["tensorflow"]


def check(path: Path, tensorflow_version: str) -> None:
    """Check that the op library at `path` was built for this TensorFlow.

    Raises
    ------
    ImportError
        If it was built for another minor version, or is no op library.
    """
    version = built_for(path)
    minor = ".".join(version.split(".")[:2])
    if tensorflow_version.split(".")[:2] != minor.split("."):
        raise ImportError(
            f"tensorflow_tvm's op library {path} was built for TensorFlow {version}, and "
            f"TensorFlow {tensorflow_version} is installed; op libraries work with the minor "
            f"version they were built for. Install that: pip install '{_distribution()}=={minor}.*'"
            "; or in a checkout build it again for the TensorFlow you have: ./bazelw build "
            "//tensorflow_tvm:ops"
        )


def _distribution() -> str:
    """Return which of its names TensorFlow is installed under."""
    try:
        importlib.metadata.version("tensorflow-cpu")
    except importlib.metadata.PackageNotFoundError:
        return "tensorflow"
    return "tensorflow-cpu"


def _load() -> ModuleType:
    path = find()
    check(path, tf.__version__)
    check_tvm_ffi(versions.TVM_FFI, "tensorflow_tvm")
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.NotFoundError as error:
        raise ImportError(
            f"tensorflow_tvm's op library {path} cannot be loaded: {error.message}. {_REBUILD}. "
            f"{_DOCTOR}"
        ) from error
    tvm_ffi.get_global_func("tensorflow_tvm.remove_left_folders")()
    # Where to find the TVM runtime, for the libraries that need it; importing tvm would load the
    # whole compiler.
    tvm = importlib.util.find_spec("tvm")
    for folder in (tvm.submodule_search_locations or []) if tvm else []:
        if (Path(folder) / "lib" / "libtvm_runtime.so").is_file():
            tvm_ffi.get_global_func("tensorflow_tvm.set_tvm_runtime_folder")(f"{folder}/lib")
    # PyPI's CUDA runtime is where no loader looks.
    nvidia = importlib.util.find_spec("nvidia")
    for folder in (nvidia.submodule_search_locations or []) if nvidia else []:
        if (Path(folder) / "cu13/lib/libcudart.so.13").is_file():
            tvm_ffi.get_global_func("tensorflow_tvm.set_cuda_folder")(f"{folder}/cu13/lib")
    return ops


def _load_xla() -> bool:
    """Load what XLA compiles the ops to, where it is there; return whether it is."""
    path = find().with_name(_XLA_FILE)
    if not path.is_file():
        return False
    try:
        tf.load_library(str(path))
    except tf.errors.NotFoundError as error:
        warnings.warn(
            f"XLA cannot compile TVM functions, as {path} cannot be loaded: {error.message}. "
            f"{_REBUILD}",
            stacklevel=2,
        )
        return False
    return True


ops = _load()
has_xla = _load_xla()
