"""Makes a folder of what programs without Python need to run TVM functions in TensorFlow.

It holds the op library, libtvm_ffi and, where asked for or where a model needs it, the TVM runtime,
and may be moved and copied anywhere. manifest.json says what is in it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
MANIFEST = "manifest.json"
OPS = ["_tvm_dso_ops.so", "_tvm_dso_xla.so"]


class RuntimeFolderError(Exception):
    """Why there is no folder."""


def find_ops() -> list[Path]:
    """The relocatable op libraries, among runfiles or where Bazel leaves what it builds."""
    for folder in (ROOT / "tensorflow_tvm", ROOT / "bazel-bin" / "tensorflow_tvm"):
        files = [folder / "relocatable" / name for name in OPS]
        if all(file.is_file() for file in files):
            return files
    raise RuntimeFolderError(
        "the relocatable op library has not been built: "
        "./bazelw build //tensorflow_tvm:relocatable_ops"
    )


def find_tvm_runtime() -> list[Path]:
    """TVM's runtime libraries; those for devices load only where the device's driver is."""
    from tensorflow_tvm import versions

    tvm = importlib.util.find_spec("tvm")
    for folder in (tvm.submodule_search_locations or []) if tvm else []:
        if files := sorted(Path(folder, "lib").glob("libtvm_runtime*.so")):
            return files
    raise RuntimeFolderError(
        "apache-tvm, whose runtime is to be copied, is not installed: pip install "
        f"apache-tvm=={versions.TVM}"
    )


def needs_tvm_runtime(models: Sequence[Path]) -> bool:
    """Whether a model has a library that needs the TVM runtime.

    Loading is what decides: the op library loads the runtime for the libraries that need it. That
    runs the libraries' code, as serving the model does.
    """
    import tensorflow as tf

    import tensorflow_tvm as tftvm
    from tensorflow_tvm import saved_models

    modules = []
    for node in (node for model in models for node in saved_models.nodes(str(model))):
        if node.op in saved_models.OPS:
            if "device" in json.loads(node.attr["callee"].s):  # its memory is the runtime's
                return True
        elif (content := saved_models.library_in(node)) is not None:
            try:
                modules.append(tftvm.Module(content))
            except tf.errors.OpError as error:
                raise RuntimeFolderError(f"in node {node.name}: {error.message}") from error
    return "/libtvm_runtime.so" in Path("/proc/self/maps").read_text()


def newest_version(prefix: str, files: Sequence[Path]) -> str:
    """The newest version `prefix`_x.y that the files ask the system's libraries for."""
    found = {
        tuple(map(int, match[1].split(b".")))
        for file in files
        for match in re.finditer(
            rb"\0%s_([0-9]+(?:\.[0-9]+)+)\0" % prefix.encode(), file.read_bytes()
        )
    }
    return ".".join(map(str, max(found)))


def manifest(files: Sequence[Path], with_tvm: bool) -> dict:
    """What there is to say of a folder with these files."""
    import tensorflow as tf

    import tensorflow_tvm as tftvm

    versions = {
        "tensorflow_tvm": tftvm.__version__,
        "tensorflow": tf.__version__,
        "apache-tvm-ffi": importlib.metadata.version("apache-tvm-ffi"),
    }
    if with_tvm:
        versions["apache-tvm"] = importlib.metadata.version("apache-tvm")
    return {
        "versions": versions,
        "needs": {
            "machine": os.uname().machine,
            # Op libraries work with one minor version.
            "tensorflow": ".".join(tf.__version__.split(".")[:2]),
            "glibc": newest_version("GLIBC", files),
            "libstdc++": "GLIBCXX_" + newest_version("GLIBCXX", files),
        },
        "files": {
            file.name: {
                "size": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in files
        },
    }


def _may_be_replaced(output: Path) -> bool:
    """Whether a folder is empty, or has what the manifest in it lists and nothing else."""
    if not output.is_dir():
        return False
    names = {path.name for path in output.iterdir()}
    try:
        listed = json.loads((output / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return not names
    return names == {MANIFEST, *listed}


def make(output: Path, models: Sequence[Path], tvm_runtime: bool) -> list[Path]:
    """Writes the folder, and returns its libraries."""
    if output.exists() and not _may_be_replaced(output):
        raise RuntimeFolderError(
            f"{output} is there, and is neither empty nor a folder that this has made: give a new "
            "one"
        )
    sources = find_ops()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    import tvm_ffi

    from tensorflow_tvm import op_library

    op_library.check(sources[0], tf.__version__)
    sources.append(Path(tvm_ffi.libinfo.find_libtvm_ffi()))
    runtime = find_tvm_runtime() if tvm_runtime or models else []
    with_tvm = tvm_runtime or needs_tvm_runtime(models)
    if with_tvm:
        sources += runtime
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside it first: what fails half-way leaves nothing there.
    with tempfile.TemporaryDirectory(prefix=f"{output.name}-", dir=output.parent) as folder:
        files = [Path(shutil.copyfile(source, Path(folder, source.name))) for source in sources]
        text = json.dumps(manifest(files, with_tvm), indent=2)
        Path(folder, MANIFEST).write_text(text + "\n")
        if output.exists():
            shutil.rmtree(output)
        output.mkdir()
        for path in Path(folder).iterdir():
            shutil.copyfile(path, output / path.name)
    return [output / file.name for file in files]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="the folder to be made")
    parser.add_argument("--tvm-runtime", action="store_true", help="with the TVM runtime")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="a SavedModel: with the TVM runtime if one of its libraries needs it. To find out, "
        "they are loaded, which runs their code; may be given several times",
    )
    options = parser.parse_args(arguments)
    # `bazel run` starts programs in a folder of its own.
    here = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""))
    try:
        files = make(
            here / options.output, [here / model for model in options.model], options.tvm_runtime
        )
    except (ImportError, OSError, ValueError, RuntimeFolderError) as error:
        print(f"runtime_folder: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
