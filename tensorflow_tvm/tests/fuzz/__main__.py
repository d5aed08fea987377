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
"""Runs random functions: python -m tensorflow_tvm.tests.fuzz --functions 2000 --seed 1."""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorflow_tvm.tests.fuzz import children, functions, shrinking
from tensorflow_tvm.tests.fuzz.children import Finding

_MODULE = "tensorflow_tvm.tests.fuzz"
_START = time.monotonic()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description=__doc__)
    parser.add_argument("--functions", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--first", type=int, default=0, help="leave out those before this one")
    parser.add_argument("--only", type=int, help="run the function of this seed, and shrink faults")
    parser.add_argument("--seconds", type=float, help="stop after so many")
    parser.add_argument("--batch", type=int, default=12, help="how many make a library")
    parser.add_argument("--compile-seconds", type=int, help="how long a function may compile")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--output", type=Path, help="where results are kept, to go on from there")
    parser.add_argument("--shrink", action="store_true", help="look for smaller programs")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return how the process ends."""
    options = _parse(arguments)
    if options.jobs > 1:
        return _run_jobs(options)
    if options.compile_seconds is not None:
        children.COMPILE_SECONDS = options.compile_seconds
    with tempfile.TemporaryDirectory(prefix="tensorflow_tvm-fuzz-") as folder:
        runner = children.Runner(Path(folder))
        if options.only is not None:
            function = functions.generate(options.only)
            findings = runner.run([function])
            for finding in findings:
                _print(runner, function, finding, shrinks=True)
            print(f"{len(findings)} findings, {runner.calls} calls, {runner.refusals} refused")
            return bool(findings)
        return _run(options, runner)


def _run(options: argparse.Namespace, runner: children.Runner) -> int:
    seeds = list(children.seeds(options.seed, options.functions))[options.first :]
    done = set()
    if options.output is not None and options.output.exists():
        done = {json.loads(line)["seed"] for line in options.output.read_text().splitlines()}
    seeds = [seed for seed in seeds if seed not in done]
    longest = 0.0
    kinds: collections.Counter[str] = collections.Counter()
    count = 0
    with contextlib.ExitStack() as files:
        log = options.output and files.enter_context(open(options.output, "a"))
        for at in range(0, len(seeds), options.batch):
            began = time.monotonic()
            if options.seconds is not None and began - _START + longest > options.seconds:
                break
            batch = [functions.generate(seed) for seed in seeds[at : at + options.batch]]
            findings = runner.run(batch)
            longest = max(longest, time.monotonic() - began)
            count += len(batch)
            seen = set()
            for function in batch:
                own = [finding for finding in findings if finding.seed == function.seed]
                kinds.update(finding.kind for finding in own)
                for finding in own:
                    shrinks = options.shrink and finding.kind != "hang"
                    shrinks = shrinks and (function.seed, finding.kind) not in seen
                    seen.add((function.seed, finding.kind))
                    _print(runner, function, finding, shrinks)
                if log:
                    text = [str(finding) for finding in own]
                    log.write(json.dumps({"seed": function.seed, "findings": text}) + "\n")
                    log.flush()
    print(
        f"seed {options.seed}: {count} functions, {runner.calls} calls of which "
        f"{runner.refusals} were refused, {sum(kinds.values())} findings {dict(kinds)}, "
        f"{time.monotonic() - _START:.0f} s",
        flush=True,
    )
    return bool(kinds)


def _run_jobs(options: argparse.Namespace) -> int:
    """Run the functions in several processes, each with a part of them."""
    each = -(-options.functions // options.jobs)
    processes = []
    for job in range(options.jobs):
        command = [sys.executable, "-m", _MODULE, "--seed", str(options.seed)]
        command += ["--first", str(job * each)]
        command += ["--functions", str(min((job + 1) * each, options.functions))]
        command += ["--batch", str(options.batch)]
        if options.seconds is not None:
            command += ["--seconds", str(options.seconds)]
        if options.output is not None:
            command += ["--output", f"{options.output}.{job}"]
        if options.compile_seconds is not None:
            command += ["--compile-seconds", str(options.compile_seconds)]
        if options.shrink:
            command.append("--shrink")
        processes.append(subprocess.Popen(command))
    return max([process.wait() for process in processes])


def _print(
    runner: children.Runner,
    function: functions.GeneratedFunction,
    finding: Finding,
    shrinks: bool,
) -> None:
    """Print a finding, and a program for it."""
    print(finding, flush=True)
    if not shrinks:
        return
    small = shrinking.shrink(
        function,
        lambda candidate: any(
            other.kind == finding.kind and _same(other.detail, finding.detail)
            for other in runner.run([candidate])
        ),
    )
    sizes = finding.sizes and {symbol: finding.sizes[symbol] for symbol in small.symbols}
    print(f"again by: python -m {_MODULE} --only {function.seed}")
    print("    " + small.program(sizes).replace("\n", "\n    "), flush=True)


def _same(one: str, other: str) -> bool:
    """Whether two texts begin alike: what follows may name other tensors."""
    return one.split()[:3] == other.split()[:3]


if __name__ == "__main__":
    children.restart_without_threads(_MODULE)
    sys.exit(main(sys.argv[1:]))
