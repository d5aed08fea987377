"""What the Bazel rule tvm_library runs: a Python file's TVM functions into a shared library."""

from __future__ import annotations

import argparse
import ast
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the Python file")
    parser.add_argument("--output", required=True, help="the library to be written")
    parser.add_argument("--target", default="host", help="as for tensorflow_tvm.build; or a dict")
    parser.add_argument("--package", help="tensorflow_tvm/__init__.py, where it is not installed")
    parser.add_argument("--ops", help="the op library, where it is not installed")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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

        try:
            tensorflow_tvm.export_library(
                _functions(options.source), options.output, _target(options.target)
            )
        except (TypeError, ValueError) as error:
            print(f"{options.source}: {error}", file=sys.stderr)
            return 1
    return 0


def _target(text: str) -> Any:
    return ast.literal_eval(text) if text.startswith("{") else text


def _functions(source: str) -> Any:
    """Run the file and return what it defines, for tensorflow_tvm.build."""
    from tvm import IRModule, tirx

    sys.path.insert(0, str(Path(source).parent))
    names = runpy.run_path(source)
    if "FUNCTIONS" in names:
        return names["FUNCTIONS"]
    module = IRModule({})
    for name, value in names.items():
        if isinstance(value, IRModule):
            module.update(value)
        elif isinstance(value, tirx.PrimFunc):
            known = value.attrs.get("global_symbol", None) if value.attrs else None
            module[str(known or name)] = value
    if not module.functions:
        raise ValueError("expected a dict FUNCTIONS, or PrimFuncs; the file defines neither")
    return module


if __name__ == "__main__":
    sys.exit(main())
