"""Makes the wheel: `./bazelw run //tools:wheel`, or `python -m pip wheel --no-deps .`.

setuptools writes it, from pyproject.toml and a copy of the package in which the op libraries are
the relocatable ones. The same files make the same bytes.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import build_meta

# A checkout, or the copy of it that Bazel makes for a program.
ROOT = Path(__file__).absolute().parents[1]
PACKAGE = ROOT / "tensorflow_tvm"
# 1980-01-01, the earliest that a zip file can say.
TIMESTAMP = "315532800"


# What pyproject.toml cannot say: the package has compiled parts, though setuptools compiles none,
# and so is for one platform.
SETUP = """
import setuptools


class Distribution(setuptools.Distribution):
    def has_ext_modules(self):
        return True


setuptools.setup(
    packages=setuptools.find_packages(),
    package_data={"tensorflow_tvm": ["*.so", "py.typed"]},
    distclass=Distribution,
)
"""


def _libraries() -> list[Path]:
    """The libraries, where Bazel puts them for a program, or leaves them in a checkout."""
    for built in (PACKAGE, ROOT / "bazel-bin" / "tensorflow_tvm"):
        found = [*built.glob("relocatable/*.so"), *built.glob("_tvm_dso_doctor.so")]
        if len(found) == 3:
            return found
    raise SystemExit(
        "make_wheel: the op libraries have not been built. Build them: "
        "./bazelw build //tensorflow_tvm:relocatable_ops"
    )


def _stage(folder: Path) -> None:
    """Copies what the wheel is made of. Of the modes, only these two remain."""
    files = {name: ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")}
    for path in [*PACKAGE.rglob("*.py"), PACKAGE / "py.typed"]:
        if "tests" not in path.relative_to(PACKAGE).parts:
            files[str(path.relative_to(ROOT))] = path
    files |= {f"tensorflow_tvm/{path.name}": path for path in _libraries()}
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755 if name.endswith(".so") else 0o644)
    (folder / "setup.py").write_text(SETUP)


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: object = None
) -> str:
    """Makes the wheel and returns its file name; a PEP 517 hook, hence the arguments."""
    output = Path(wheel_directory).absolute()
    os.environ.setdefault("SOURCE_DATE_EPOCH", TIMESTAMP)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _stage(Path(folder))
        with contextlib.chdir(folder):
            return build_meta.build_wheel(str(output), {"quiet": "true"})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="wheel", description="Make the wheel of tensorflow_tvm.")
    parser.add_argument("--output", help="the folder (default: dist, in the checkout)")
    options = parser.parse_args(argv)
    # `bazel run` starts programs in a folder of its own.
    if options.output is None:
        output = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ROOT), "dist")
    else:
        output = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""), options.output)
    print(output / build_wheel(str(output)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
