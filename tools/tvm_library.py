"""What the Bazel rule tvm_library runs: a Python file's TVM functions into a shared library."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the Python file")
    parser.add_argument("--output", required=True, help="the library to be written")
    parser.add_argument("--target", default="host", help="as for tensorflow_tvm.build; or a dict")
    parser.add_argument(
        "--tuned", nargs="*", default=[], help="files with schedules, from tensorflow_tvm.tune"
    )
    parser.add_argument("--package", help="tensorflow_tvm/__init__.py, where it is not installed")
    parser.add_argument("--ops", help="the op library, where it is not installed")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # What this user has tuned is not part of the build.
    folders = dict.fromkeys(os.path.dirname(os.path.abspath(file)) for file in options.tuned)
    os.environ["TENSORFLOW_TVM_TUNING_DIR"] = os.pathsep.join(folders)
    with tempfile.TemporaryDirectory() as folder:
        if options.package:
            # Bazel keeps sources and what it builds apart; Python wants them in one folder.
            package = Path(folder) / "tensorflow_tvm"
            shutil.copytree(
                Path(options.package).parent, package, ignore=shutil.ignore_patterns("tests", "cc")
            )
            shutil.copy(options.ops, package)
            sys.path.insert(0, folder)
        import tensorflow_tvm
        from tensorflow_tvm import source_file

        try:
            functions, _ = source_file.read(options.source)
            target = source_file.parse_target(options.target)
            tensorflow_tvm.export_library(functions, options.output, target)
        except (OSError, TypeError, ValueError) as error:
            print(f"{options.source}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
