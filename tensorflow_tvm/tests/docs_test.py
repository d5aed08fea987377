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
"""The documentation: its code runs and prints what it says, its links and messages are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests.subprocesses import check_python

ROOT = Path(__file__).absolute().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# Messages of TensorFlow and of TVM's generated code.
FOREIGN = re.compile(
    r"Expected … arguments|Mismatched|expected to match|Op type not|No registered|Cannot assign|"
    r"Expected string|ALREADY_EXISTS|Cannot parse file|.*is neither a type of|"
    r"could not be deserialized|\(none\)|Socket closed|Unable to find a context|unknown device"
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _python_of(page: Path) -> str:
    """Return the Python code of a page, each line where it is in the page."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if inside and line == "```":
            inside = False
        lines.append(line if inside else "")
        if line == "```python":
            inside = True
    assert not inside, f"{page}: a code block has no end"
    return "\n".join(lines) + "\n"


def test_there_are_pages():
    assert len(PAGES) >= 6
    assert any(_python_of(page).strip() for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_are_merged(page):
    marks = re.findall(r"^(?:<<<<<<< |=======$|>>>>>>> ).*", page.read_text(encoding="utf-8"), re.M)
    assert not marks, f"{_name(page)} has the marks of a conflict: {marks}"


@pytest.mark.parametrize("page", [p for p in PAGES if _python_of(p).strip()], ids=_name)
def test_python_code_runs_and_prints_what_it_says(page, tmp_path):
    source = _python_of(page)
    program = tmp_path / f"page_{page.stem}.py"  # TVMScript reads the file that it is in
    program.write_text(source, encoding="utf-8")
    output = check_python(
        """
        import os, runpy, sys
        os.chdir(os.path.dirname(sys.argv[1]))
        runpy.run_path(sys.argv[1], run_name="__main__")
        """,
        str(program),
        env={"TENSORFLOW_TVM_TUNING_DIR": str(tmp_path / "tuned")},
    )
    expected = re.findall(r"^\s*print\(.*\)  # (.*)$", source, re.MULTILINE)
    assert len(expected) == len(re.findall(r"^\s*print\(", source, re.MULTILINE))
    position = 0
    for text in expected:
        assert text in output[position:], f"{page.name}: {text!r} is not printed, or not then"
        position = output.index(text, position) + len(text)


@pytest.mark.parametrize(
    "module",
    [
        "build",
        "explain",
        "function",
        "gradients",
        "layer_weight",
        "layers",
        "library",
        "module",
        "op",
        "signature",
        "sysconfig",
        "testing.check",
    ],
)
def test_examples_in_docstrings(module, addone_path):
    output = check_python(
        """
        import doctest, importlib, os, sys
        os.chdir(sys.argv[1])
        module = importlib.import_module("tensorflow_tvm." + sys.argv[2])
        failed, tried = doctest.testmod(module)
        print("tried", tried)
        sys.exit(failed > 0)
        """,
        str(Path(addone_path).parent),
        module,
    )
    assert re.search(r"tried [1-9]", output)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{_name(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(linked), f"{_name(page)}: {target} has no such heading"


def _messages(page: Path) -> list[str]:
    """Return the messages of tables whose first column is headed "Message"."""
    text = page.read_text(encoding="utf-8")
    tables = re.findall(r"^\| Message \|.*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [re.match(r"\| `(.*?)` \|", row)[1] for t in tables for row in t.splitlines()]


@pytest.fixture(scope="module")
def texts():
    """The texts in the op library and in the Python package."""
    package = Path(tftvm.__file__).parent
    tests = package / "tests"
    sources = [path for path in package.rglob("*.py") if not path.is_relative_to(tests)]
    python = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    python = re.sub(r'"\s*\n\s*f?"', "", python)  # string literals side by side
    path = Path(tftvm.sysconfig.get_lib_path())
    library = "".join(
        file.read_bytes().decode("utf-8", errors="replace")
        for file in (path, path.with_name("_tvm_dso_xla.so"))
    )
    return python + library


@pytest.mark.parametrize("page", [p for p in PAGES if _messages(p)], ids=_name)
def test_messages_are_those_of_the_code(page, texts):
    own = [message for message in _messages(page) if not FOREIGN.match(message)]
    # "…" stands for what the code fills in, and shorter parts than these are everywhere.
    parts = [part.strip(" '.") for message in own for part in message.split("…")]
    missing = [part for part in parts if len(part) > 3 and part not in texts]
    assert not missing, f"{_name(page)}: nothing says {missing}"
