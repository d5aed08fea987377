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
"""The command line: ``python -m tensorflow_tvm``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from tensorflow_tvm import doctor, server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tensorflow_tvm", description="Tools for TVM libraries in TensorFlow."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    inspect = commands.add_parser(
        "inspect",
        help="show what a library or model has",
        description="Show a library's functions and their signatures; loading it runs its code. Or "
        "show which libraries a SavedModel has, which are not loaded.",
    )
    inspect.add_argument("path", help="a shared library, or the folder of a SavedModel")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)
    tune = commands.add_parser(
        "tune",
        help="search for faster schedules",
        description="Search for faster schedules of the functions that a Python file defines: in a "
        "dict FUNCTIONS, or as PrimFuncs. A dict REFERENCES may name the same in TensorFlow. "
        "Ctrl-C ends the search, and what was found until then is kept.",
    )
    tune.add_argument("file", help="the Python file")
    tune.add_argument("functions", nargs="*", help="those to be tuned (default: all)")
    tune.add_argument("--target", default="host", help="as for tensorflow_tvm.build; or a dict")
    tune.add_argument("--trials", type=int, default=64, help="per function (default: %(default)s)")
    tune.add_argument("--seconds", type=float, help="for all functions (default: no limit)")
    tune.add_argument("--database", help="the folder to store schedules in")
    tune.add_argument("--plot", help="draw the search to this file, such as tuning.svg")
    tune.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    tune.add_argument("--libm", action="store_true", help="take exp and the like from there")
    tune.set_defaults(run=_tune)
    examine = commands.add_parser(
        "doctor", help="find out what is wrong", description=doctor.DESCRIPTION
    )
    doctor.add_arguments(examine)
    server.add_arguments(
        commands.add_parser(
            "worker",
            help="run ops for programs on other machines",
            description="Start a TensorFlow server that knows TVM's ops, a task of a cluster. It "
            "runs whatever it is sent, with the rights of this process: use it in a private "
            "network only.",
        )
    )
    options = parser.parse_args(arguments)
    return options.run(options)


def _inspect(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    import tensorflow_tvm as tftvm
    from tensorflow_tvm import saved_models

    try:
        if tf.io.gfile.isdir(options.path):
            libraries = saved_models.libraries(options.path)
            description, table = {"model": options.path, "libraries": libraries}, _model_table
        else:
            description, table = _describe(tftvm.Module(options.path)), _table
    except (tf.errors.OpError, ValueError) as error:
        print(error.message if isinstance(error, tf.errors.OpError) else error, file=sys.stderr)
        return 1
    print(json.dumps(description, indent=2) if options.json else table(description))
    return 0


def _tune(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_tvm as tftvm
    from tensorflow_tvm import source_file

    try:
        functions, references = source_file.read(options.file, options.functions)
        tuning = tftvm.tune(
            functions,
            source_file.parse_target(options.target),
            options.trials,
            options.seconds,
            libm=options.libm,
            reference=references,
            database=options.database,
            seed=options.seed,
        )
        print(tuning)
        if options.plot:
            tuning.plot(options.plot)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1
    return 0


def _describe(module: Any) -> dict[str, Any]:
    from tensorflow_tvm.device_code import architectures_in

    functions = []
    for name in module:
        metadata = module._library.metadata(name)
        entry: dict[str, Any] = {
            "name": name,
            "devices": metadata.devices,
            "signature": None,
            "arg_spec": metadata.arg_spec,
        }
        if metadata.signature is not None:
            entry["signature"] = str(metadata.signature)
            entry.update(json.loads(metadata.signature.to_json()))
        functions.append(entry)
    return {
        "library": module.name,
        "digest": module.digest,
        "bytes": module.size,
        "cuda_architectures": architectures_in(module._library.content()),
        "functions": functions,
    }


def _model_table(description: dict[str, Any]) -> str:
    lines = [f"model      {description['model']}"]
    for said in description["libraries"]:
        size = said["bytes"]
        lines += [
            "",
            f"library    {said['library']}",
            f"digest     {said['digest']}",
            f"size       {'not in the model' if size is None else f'{size:,} bytes'}",
            f"functions  {', '.join(said['functions'])}",
        ]
    return "\n".join(lines if description["libraries"] else [*lines, "", "It calls no library."])


def _table(description: dict[str, Any]) -> str:
    rows = [("function", "signature")]
    devices = dict.fromkeys(
        device.upper() for function in description["functions"] for device in function["devices"]
    )
    architectures = description["cuda_architectures"]
    for function in description["functions"]:
        rows.append((function["name"], _explain(function)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"library   {description['library']}",
            f"digest    {description['digest']}",
            f"size      {description['bytes']:,} bytes",
            *([f"devices   {', '.join(devices)}"] if devices else []),
            *([f"CUDA      {', '.join(architectures)}"] if architectures else []),
            "",
            *(f"{name:<{width}}  {signature}" for name, signature in rows),
        ]
    )


def _explain(function: dict[str, Any]) -> str:
    signature, spec = function["signature"], function["arg_spec"]
    if signature is None:
        return "(the library does not say)"
    if spec is None:
        return f"{signature}  (does not say which of these are outputs)"
    if not any(entry.startswith("rets") for entry in spec):
        return f"{signature}  (returns its outputs)"
    return signature


if __name__ == "__main__":
    sys.exit(main())
