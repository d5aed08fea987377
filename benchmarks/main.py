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
"""Run all benchmarks, write down and draw what they find, and compare it with an older run.

Each runs in a process of its own, one after the other: overhead, schedules, workloads, concurrency,
scaling, xla, compile_time. The folder then has a JSON file of each, summary.md and pictures.

--compare OLD prints each figure that has become slower beside its rival in the same run, so that
the speed of the machine cancels out: by more than --threshold, and by more than its spread, which
is to say that the middle halves of the old and the new ratios do not overlap.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import plots

HERE = Path(__file__).absolute().parent
BENCHMARKS = {  # in the order in which they run
    "overhead": "overhead.py",
    "schedules": "schedules.py",
    "workloads": "workloads/main.py",
    "concurrency": "concurrency.py",
    "scaling": "scaling.py",
    "xla": "xla.py",
    "compile_time": "compile_time.py",
}
SUMMARY = "summary.md"
# What tells the rows of a benchmark apart.
LABELS = ("threads", "group", "kernel", "workload", "case")


def available() -> dict[str, Path]:
    """Return the files of the benchmarks that are there."""
    paths = {name: HERE / path for name, path in BENCHMARKS.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """A bar on the standard error stream; without a terminal, a line where something happens."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.start = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def show(self, done: int, text: str, end: bool = False) -> None:
        """Say that `done` are done, and what is going on; where it is not the `end`, for now."""
        width = 18
        filled = width * done // self.total
        bar = "█" * filled + "·" * (width - filled)
        line = f"{bar} {done} of {self.total} {_clock(time.monotonic() - self.start)} {text}"
        if self.terminal:
            print(f"{line[:99]:99}", end="\n" if end else "\r", file=sys.stderr, flush=True)
        elif end:
            print(line, file=sys.stderr, flush=True)


def run(name: str, path: Path, options: list[str], progress: Progress, done: int) -> bool:
    """Run one benchmark; return whether it went well."""
    with tempfile.NamedTemporaryFile("w") as log:
        process = subprocess.Popen(
            [sys.executable, path, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                "TF_CPP_MIN_LOG_LEVEL": "2",
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        try:
            while process.poll() is None:
                *_, last = ["", *filter(None, Path(log.name).read_text().splitlines())]
                progress.show(done, f"{name}: {last.strip()}")
                time.sleep(0.5)
        finally:
            process.kill()  # if this is interrupted
        text = Path(log.name).read_text()
    well = process.returncode == 0
    progress.show(done + 1, name if well else f"{name} failed", end=True)
    if not well:
        print(text, file=sys.stderr)
    return well


def documents(path: Path) -> dict[str, dict]:
    """Return what a folder of results has, or one file of it, by benchmark."""
    files = [path] if path.is_file() else [path / f"{name}.json" for name in BENCHMARKS]
    found = {f.stem: json.loads(f.read_text()) for f in files if f.is_file()}
    if not found or not set(found) <= set(BENCHMARKS):
        raise SystemExit(f"{path} has no results: expected files such as overhead.json")
    return found


def where(document: dict) -> str:
    """Return a line that says where and how figures were measured."""
    versions = document["versions"]
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu")
    before, after = document["load_before"][0], document["load_after"][0]
    return (
        f"{document['flags']['repetitions']} repetitions, {document['cpus']} processors "
        f"({document['cpu']}), TensorFlow {tensorflow}, TVM {versions.get('apache-tvm')}, "
        f"{document['date'][:10]}, load {before} before and {after} after."
    )


def section(name: str, document: dict, picture: str) -> str:
    """Return the tables of a benchmark, and its picture if it has one."""
    path = ".".join(("benchmarks", *Path(BENCHMARKS[name]).with_suffix("").parts))
    table = importlib.import_module(path).markdown(document["results"])
    parts = [table.strip(), where(document)]
    if name in plots.DRAWN:
        parts.insert(0, f"![{name}]({picture})")
    return "\n\n".join(parts) + "\n"


def write_summary(folder: Path) -> None:
    """Write the tables and pictures of what the folder has."""
    parts = ["# Results of the benchmarks\n\nMade by `./bazelw run //benchmarks`.\n"]
    for name, document in documents(folder).items():
        plots.draw(name, document["results"], folder / f"{name}.png")
        title = name.replace("_", " ").capitalize()
        parts.append(f"## {title}\n\n{section(name, document, f'{name}.png')}")
    (folder / SUMMARY).write_text("\n".join(parts), encoding="utf-8")


def fill_in(page: Path, folder: Path) -> str:
    """Return the text of a page with the results between marks such as `<!-- begin scaling -->`."""
    text = page.read_text(encoding="utf-8")
    for name, document in documents(folder).items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        if found:
            picture = os.path.relpath(folder / f"{name}.png", page.parent)
            text = before + begin + section(name, document, picture) + end + rest.partition(end)[2]
    return text


@dataclasses.dataclass(frozen=True)
class Figure:
    """How long ours takes, divided by how long a rival takes: the median and the middle half."""

    p25: float
    median: float
    p75: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.p25:.3g} to {self.p75:.3g})"


def figures(document: dict) -> Iterator[tuple[str, Figure]]:
    """Return all that can be compared with another run, and what it is of."""
    yield from rates(document["results"])
    for row in document["results"]:
        label = ", ".join(
            f"{row[key]} threads" if key == "threads" else str(row[key])
            for key in LABELS
            if key in row
        )
        for key, value in row.items():
            if not isinstance(value, dict) or "median" not in value:
                continue
            if key == "ratio":
                yield (
                    f"{label} / {row['rival']}",
                    Figure(*(value[k] for k in ("p25", "median", "p75"))),
                )
            elif " / " in key and not key.startswith("best"):  # which one of the others is
                rival, ours = key.split(" / ")
                inverse = (1 / value[k] for k in ("p75", "median", "p25"))
                yield f"{label}, {ours} / {rival}", Figure(*inverse)


def rates(rows: list[dict]) -> Iterator[tuple[str, Figure]]:
    """Return how many calls a second TensorFlow makes beside the others, for each of callers."""
    known = {
        (row["group"], row["callers"], row["case"]): row["calls_per_second"]
        for row in rows
        if "calls_per_second" in row
    }
    for (group, callers, case), ours in known.items():
        rival = known.get((group, callers, "TensorFlow"))
        if rival and rival is not ours:
            quotients = (
                rival[low] / ours[high]
                for low, high in (("p25", "p75"), ("median", "median"), ("p75", "p25"))
            )
            yield f"{group}, {callers} callers, {case} / TensorFlow", Figure(*quotients)


def compare(old: dict[str, dict], new: dict[str, dict], threshold: float) -> tuple[list[str], int]:
    """Return what is slower than it was, as text, and how many figures both have."""
    slower, both = [], 0
    for name in old.keys() & new.keys():
        before = dict(figures(old[name]))
        for label, now in figures(new[name]):
            if label not in before:
                continue
            was = before[label]
            both += 1
            if now.median > was.median * (1 + threshold) and now.p25 > was.p75:
                growth = now.median / was.median - 1
                slower.append(f"{growth:+.0%} {name}: {label}: {was}, now {now}")
    return slower, both


def chosen(names: Iterable[str]) -> dict[str, Path]:
    """Return the files of the benchmarks that are asked for."""
    paths, names = available(), list(names)
    if missing := [name for name in names if name not in paths]:
        raise SystemExit(f"There is no {', '.join(missing)}; there are {', '.join(paths)}")
    return {name: path for name, path in paths.items() if not names or name in names}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks; the exit status is 1 if one fails, or if something is slower than OLD."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=[], help="run these benchmarks"
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="for the results (default: benchmarks/results; with --quick a new folder)",
    )
    parser.add_argument("--repetitions", type=int, help="of each (default: its own)")
    parser.add_argument("--quick", action="store_true", help="only see whether they run")
    parser.add_argument("--plot-only", action="store_true", help="draw the results that are there")
    parser.add_argument("--markdown", metavar="PAGE", help="put the tables between its marks")
    parser.add_argument("--compare", metavar="OLD", help="a folder of results, or one file of it")
    parser.add_argument(
        "--threshold", type=float, default=0.1, help="of --compare (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    # `bazel run` starts programs in a folder of its own.
    started_in = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""))
    if arguments.output:
        folder = Path(started_in, arguments.output).absolute()
        folder.mkdir(parents=True, exist_ok=True)
    elif arguments.quick:
        folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    else:
        root = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", HERE.parent))
        folder = root / "benchmarks" / "results"
    # Read before it may be overwritten.
    old = documents(Path(started_in, arguments.compare)) if arguments.compare else {}
    options = ["--quick"] if arguments.quick else []
    if arguments.repetitions:
        options.append(f"--repetitions={arguments.repetitions}")
    failed = []
    if not arguments.plot_only:
        paths = chosen(arguments.only)
        progress = Progress(len(paths))
        for done, (name, path) in enumerate(paths.items()):
            output = f"--output={folder / name}.json"
            if not run(name, path, [output, *options], progress, done):
                failed.append(name)
    write_summary(folder)
    print(folder / SUMMARY)
    if arguments.markdown:
        page = Path(started_in, arguments.markdown).absolute()
        page.write_text(fill_in(page, folder), encoding="utf-8")
    slower, both = compare(old, documents(folder), arguments.threshold)
    if arguments.compare:
        print(f"{both} figures of {arguments.compare} compared, {len(slower)} are slower")
        print("\n".join(slower))
    return 1 if failed or slower or (arguments.compare and not both) else 0


if __name__ == "__main__":
    sys.exit(main())
