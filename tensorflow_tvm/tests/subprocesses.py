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
"""Python code that may take its process down, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def python(
    code: str,
    *args: str,
    env: dict[str, str] | None = None,
    path: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return `args` and `env` for subprocess.Popen, to run `code` as `run_python` does."""
    folders = filter(None, sys.path if path is None else path)
    options = [] if path is None else ["-S"]  # no site-packages of its own
    return {
        "args": [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)],
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **(env or {})},
    }


def run_python(
    code: str,
    *args: str,
    env: dict[str, str] | None = None,
    path: Iterable[str] | None = None,
) -> subprocess.CompletedProcess:
    """Run `code`, which sees `args` in sys.argv[1:] and imports from where this process does.

    It returns however the process ends: check `returncode`, which is negative for a signal. If
    `path` is given, it imports from those folders and the standard library only.
    """
    return subprocess.run(
        **python(code, *args, env=env, path=path), capture_output=True, text=True, check=False
    )


def check_python(
    code: str,
    *args: str,
    env: dict[str, str] | None = None,
    path: Iterable[str] | None = None,
) -> str:
    """Run `code` as `run_python` does and return what it printed; it must succeed."""
    process = run_python(code, *args, env=env, path=path)
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout


def path_without_tvm(folder: Path) -> list[str]:
    """Return where this process imports from, but for apache-tvm, as it would be without it.

    What lies beside it is linked to in `folder`, which must be empty.
    """
    result = []
    for entry in filter(None, sys.path):
        if not os.path.isdir(os.path.join(entry, "tvm")):
            result.append(entry)
            continue
        links = folder / str(len(result))
        links.mkdir()
        for package in os.scandir(entry):
            if package.name != "tvm" and not package.name.startswith("apache_tvm-"):
                (links / package.name).symlink_to(package.path)
        result.append(str(links))
    return result
