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


def run_python(
    code: str, *args: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run `code`, which sees `args` in sys.argv[1:] and imports from where this process does.

    It returns however the process ends: check `returncode`, which is negative for a signal.
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def check_python(code: str, *args: str, env: dict[str, str] | None = None) -> str:
    """Run `code` as `run_python` does and return what it printed; it must succeed."""
    process = run_python(code, *args, env=env)
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout
