"""Prints, as JSON, what configure.py wants to know of the Python that runs this file.

Only the standard library is certain to be there. A package that is missing has no
keys; one that is there but does not import has a `<package>.error`.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys


def _folder(module: str) -> str | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(iter(spec.submodule_search_locations))


def _tensorflow() -> dict[str, str]:
    if _folder("tensorflow") is None:
        return {}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # Its ABI flags are known to its compiled part only, hence the import.
        import tensorflow as tf

        flags = tf.sysconfig.get_compile_flags()
        build = tf.sysconfig.get_build_info()
        return {
            "tensorflow.version": tf.__version__,
            "tensorflow.include": tf.sysconfig.get_include(),
            "tensorflow.lib": tf.sysconfig.get_lib(),
            "tensorflow.cxxflags": " ".join(f for f in flags if not f.startswith("-I")),
            "tensorflow.cuda": str(build.get("cuda_version", "")),
        }
    except Exception as error:
        return {"tensorflow.error": f"{type(error).__name__}: {error}"}


def _distribution(key: str, module: str, distribution: str) -> dict[str, str]:
    folder = _folder(module)
    if folder is None:
        return {}
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return {f"{key}.error": f"{folder} was not installed as the package {distribution}"}
    return {
        f"{key}.version": version,
        f"{key}.include": os.path.join(folder, "include"),
        f"{key}.lib": os.path.join(folder, "lib"),
    }


def main() -> None:
    facts = {"python.version": platform.python_version(), "python.path": sys.executable}
    facts |= _distribution("tvm_ffi", "tvm_ffi", "apache-tvm-ffi")
    facts |= _distribution("tvm", "tvm", "apache-tvm")
    facts |= _tensorflow()
    if nvidia := _folder("nvidia"):
        facts["nvidia.packages"] = nvidia
    print("\n" + json.dumps(facts))


if __name__ == "__main__":
    main()
