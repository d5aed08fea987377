#!/usr/bin/env python3
"""Finds what tensorflow_tvm is built against, and tells Bazel.

Asks no questions and writes one file, the git-ignored .tensorflow_tvm.bazelrc, which the
committed .bazelrc imports and the repository rules in third_party/ read. `./bazelw` runs
this by itself; run it by hand to build against another Python or CUDA:

    python3 configure.py --python=/path/to/python --cuda-path=/usr/local/cuda
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent
RC = ".tensorflow_tvm.bazelrc"

TENSORFLOW = "2.21"
TVM = "0.27.0.post1"
# pip would take a newer one beside this TVM, whose structural hashing then crashes.
TVM_FFI = "0.1.14.post1"

Facts = dict[str, str]


class ConfigureError(Exception):
    """Something needed is missing or wrong; the text says what, and the cure."""


def probe(python: str) -> Facts:
    """Asks a Python what it has installed.

    Parameters
    ----------
    python : str
        The interpreter, by path or by a name on PATH.

    Returns
    -------
    Facts
        See tools/probe.py.
    """
    path = shutil.which(os.path.expanduser(python))
    if path is None:
        raise ConfigureError(
            f"{python} is not a Python interpreter. Name one by --python=, "
            "or let ./bazelw make one in .venv."
        )
    # Not realpath: a virtual environment is its own link to the interpreter.
    path = os.path.abspath(path)
    done = subprocess.run(
        [path, str(ROOT / "tools" / "probe.py")], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise ConfigureError(
            f"{path} could not be probed (exit status {done.returncode}): {last}\n"
            "It has to be Python 3.10 or newer, and TensorFlow has to import in it."
        )
    # What the imports themselves print comes first.
    return json.loads(done.stdout.splitlines()[-1]) | {"python.path": path}


def check(facts: Facts) -> None:
    """Raises ConfigureError unless the packages are the ones this project is built for."""
    python = facts["python.path"]
    cure = (
        f"Cure: {python} -m pip install -r requirements.txt\n"
        "or let ./bazelw make an environment of its own, in .venv."
    )
    wanted = {
        "tensorflow": ("TensorFlow", f"{TENSORFLOW}.*"),
        "tvm_ffi": ("apache-tvm-ffi", TVM_FFI),
        "tvm": ("apache-tvm", TVM),
    }
    for key, (name, version) in wanted.items():
        found = facts.get(f"{key}.version")
        if error := facts.get(f"{key}.error"):
            raise ConfigureError(f"{name} does not work in {python}: {error}\n{cure}")
        if found is None and key == "tvm":
            continue  # Compiling kernels takes it, building and running the op does not.
        if found is None:
            raise ConfigureError(f"{name} {version} is not installed in {python}.\n{cure}")
        if found != version and not (version.endswith("*") and found.startswith(version[:-1])):
            raise ConfigureError(f"{python} has {name} {found}; it has to be {version}.\n{cure}")
    for key in ("tensorflow.include", "tensorflow.lib", "tvm_ffi.include", "tvm_ffi.lib"):
        if not os.path.isdir(facts[key]):
            raise ConfigureError(f"{facts[key]} is missing: a broken installation.\n{cure}")


def find_cuda(asked: str | None, packages: str | None) -> Facts:
    """Finds the CUDA toolkit: its headers, version and compiler.

    Parameters
    ----------
    asked : str or None
        The folder that --cuda-path names: an error if it holds no toolkit.
    packages : str or None
        The folder of the `nvidia` packages of the chosen Python.
    """
    if asked:
        folders = [asked]
    else:
        nvcc = shutil.which("nvcc")
        folders = [
            os.environ.get("CUDA_HOME"),
            os.environ.get("CUDA_PATH"),
            "/usr/local/cuda",
            nvcc and os.path.dirname(os.path.dirname(os.path.realpath(nvcc))),
            packages and os.path.join(packages, "cu13"),
            packages and os.path.join(packages, "cuda_runtime"),
        ]
    for folder in filter(None, folders):
        header = pathlib.Path(folder).expanduser().absolute() / "include" / "cuda.h"
        if header.is_file():
            number = re.search(
                r"#define\s+CUDA_VERSION\s+(\d+)", header.read_text(errors="replace")
            )
            version = int(number.group(1)) if number else 0
            found = {
                "cuda.version": f"{version // 1000}.{version % 1000 // 10}",
                "cuda.include": str(header.parent),
            }
            compiler = header.parents[1] / "bin" / "nvcc"
            return found | ({"cuda.nvcc": str(compiler)} if compiler.is_file() else {})
    if asked:
        raise ConfigureError(
            f"--cuda-path={asked}: no include/cuda.h there. Name the toolkit's folder, such as "
            "/usr/local/cuda, or leave the flag out: CUDA is optional."
        )
    return {}


def find_compiler() -> Facts:
    """Finds g++, and the sanitizers' runtimes that belong to it."""
    if shutil.which("g++") is None:
        raise ConfigureError("No g++ on PATH. Cure (Debian, Ubuntu): sudo apt-get install g++")

    def ask(*flags: str) -> str:
        return subprocess.run(
            ["g++", *flags], capture_output=True, text=True, check=True
        ).stdout.strip()

    facts = {"gcc.version": ask("-dumpfullversion")}
    for name in ("libasan.so", "libtsan.so", "libstdc++.so"):
        # g++ answers with the bare name where it has no such library.
        path = ask(f"-print-file-name={name}")
        if os.path.isabs(path):
            facts[f"gcc.{name}"] = os.path.realpath(path)
    return facts


def table(facts: Facts) -> str:
    """The facts, for people."""

    def row(name: str, key: str, where: str, note: str = "") -> str:
        version = facts.get(f"{key}.version", "not found")
        return f"  {name:<14}{version + note:<18}{facts.get(f'{key}.{where}', '')}".rstrip()

    cuda = facts.get("tensorflow.cuda")
    return "\n".join(
        [
            row("Python", "python", "path"),
            row("TensorFlow", "tensorflow", "include", f" (CUDA {cuda})" if cuda else " (CPU)"),
            f"  {'':<14}{facts['tensorflow.cxxflags']}",
            row("tvm-ffi", "tvm_ffi", "include"),
            row("TVM", "tvm", "include"),
            row("CUDA toolkit", "cuda", "include")
            + ("" if "cuda.version" in facts else " (optional)"),
            f"  {'nvcc':<32}{facts.get('cuda.nvcc', 'not found')}",
            row("g++", "gcc", "path"),
        ]
    )


def rc_text(facts: Facts) -> str:
    """The generated file: flags for Bazel, facts for the rules in third_party/."""
    python_bin = os.path.dirname(facts["python.path"])
    lines = [
        "# Written by configure.py: run that again instead of editing this.",
        *(f"# fact: {key}={value}" for key, value in sorted(facts.items())),
        "",
        # The programs that Bazel 2.1 writes for py_test start by `env python`.
        f"build --test_env=PATH={python_bin}:/usr/local/bin:/usr/bin:/bin",
    ]
    if nvcc := facts.get("cuda.nvcc"):
        # For libraries that rules and tests compile for target="cuda".
        lines.append(f"build --action_env=CUDACXX={nvcc} --test_env=CUDACXX={nvcc}")
    for config in ("asan", "tsan"):
        if library := facts.get(f"gcc.lib{config}.so"):
            # With libstdc++, or its `throw` is not there to be found when the sanitizer looks.
            # Not by --test_env: the shell script that Bazel puts around a test dies of libtsan.
            preload = f"LD_PRELOAD={library}:{facts['gcc.libstdc++.so']}"
            lines.append(f'build:{config} --run_under="/usr/bin/env {preload}"')
    return "\n".join(lines) + "\n"


def write(path: pathlib.Path, text: str) -> None:
    """Writes a file all at once: another shell may be reading it."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    os.replace(part, path)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    venv = ROOT / ".venv" / "bin" / "python"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python",
        default=str(venv) if venv.exists() else sys.executable,
        help="the Python whose TensorFlow and tvm-ffi to build against (default: %(default)s)",
    )
    parser.add_argument(
        "--cuda-path",
        help="the CUDA toolkit, for --config=cuda (default: $CUDA_HOME, $CUDA_PATH, "
        "/usr/local/cuda, the one of nvcc, the nvidia packages of that Python, or none)",
    )
    options = parser.parse_args(argv)
    try:
        facts = find_compiler() | probe(options.python)
        check(facts)
        facts |= find_cuda(options.cuda_path, facts.get("nvidia.packages"))
    except ConfigureError as error:
        print(f"configure.py: {error}", file=sys.stderr)
        return 1
    print(f"configure.py: building against\n{table(facts)}")
    write(ROOT / RC, rc_text(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
