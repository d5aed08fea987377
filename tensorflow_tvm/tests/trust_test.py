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
"""Which libraries may be loaded, and ways to get round that.

What the variables can say is tested in cc/runtime/trust_test.cc.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
import stat

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

tf1 = tf.compat.v1
X = tf.constant([1.0, 2.0])
NOT_LISTED = "TENSORFLOW_TVM_TRUSTED_DIGESTS does not list its digest, sha256:"
NOT_IN_ROOTS = "TENSORFLOW_TVM_LIBRARY_ROOTS allows files in .*"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The bytes of two libraries: `addone`, and another with the same function that adds 2."""
    folder = tmp_path_factory.mktemp("libraries")
    functions = [libraries.elementwise("addone", lambda x, i=i: x + float(i)) for i in (1, 2)]
    paths = [libraries.export(f, folder / f"{i}.so") for i, f in enumerate(functions)]
    return [open(path, "rb").read() for path in paths]


@pytest.fixture
def folders(tmp_path, compiled):
    """`root`, the only folder with trusted libraries, beside `elsewhere`; one library in each."""
    for name, content in zip(["root", "elsewhere"], compiled, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "addone.so").write_bytes(content)
    return tmp_path


@pytest.fixture
def root(folders, monkeypatch):
    """The folder of the trusted libraries, with the variable set."""
    monkeypatch.setenv("TENSORFLOW_TVM_LIBRARY_ROOTS", str(folders / "root"))
    return folders / "root"


# Made in a process of its own, so that nothing in this one still has the library.
_SAVE = """
import json, pickle, sys
import tensorflow as tf
import tensorflow_tvm as tftvm

library, folder = sys.argv[1:]
function = tftvm.Module(library)["addone"]
module = tf.Module()
module.serve = tf.function(lambda x: function(x), input_signature=[tf.TensorSpec([None])])
tf.saved_model.save(module, folder + "/model")
layers = [tf.keras.Input([2]), tftvm.layers.TVMLayer(function)]
tf.keras.Sequential(layers).save(folder + "/model.keras")
with tf.Graph().as_default() as graph:
    tf.identity(function(tf.compat.v1.placeholder(tf.float32, [None], name="x")), name="y")
open(folder + "/graph.pb", "wb").write(graph.as_graph_def().SerializeToString())
pickle.dump(function, open(folder + "/function.pickle", "wb"))
json.dump(function.get_config(), open(folder + "/config.json", "w"))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory, compiled):
    """What holds the second library, by name: `name: load()`."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "addone.so").write_bytes(compiled[1])
    check_python(_SAVE, folder / "addone.so", folder)
    graph_def = tf1.GraphDef.FromString((folder / "graph.pb").read_bytes())

    def run_graph():
        with tf.Graph().as_default(), tf1.Session() as session:
            tf.import_graph_def(graph_def, name="")
            return session.run("y:0", {"x:0": [1.0]})

    def compile_graph():
        graph = tf1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        pruned = graph.prune("x:0", "y:0")
        return tf.function(lambda x: pruned(x), jit_compile=True)(X)

    return {
        "path": lambda: tftvm.Module(folder / "addone.so"),
        "bytes": lambda: tftvm.Module(compiled[1]),
        "pickle": lambda: pickle.loads((folder / "function.pickle").read_bytes()),
        "config": lambda: tftvm.Function.from_config(
            json.loads((folder / "config.json").read_text())
        ),
        "SavedModel": lambda: tf.saved_model.load(str(folder / "model")).serve(X),
        ".keras": lambda: tf.keras.models.load_model(str(folder / "model.keras")),
        "GraphDef": run_graph,
        "XLA": compile_graph,
    }


def _unload():
    gc.collect()
    assert tftvm.stats()["libraries"] == 0


def _refused(match, load):
    with pytest.raises(tf.errors.PermissionDeniedError, match=match):
        load()
    _unload()


def test_digests_restrict_whatever_the_source(folders, saved, compiled, monkeypatch):
    _unload()
    trusted = str(folders / "trusted")
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", trusted)
    (folders / "trusted").write_text("# none yet\n")
    for load in saved.values():
        _refused(NOT_LISTED, load)
    digest = hashlib.sha256(compiled[1]).hexdigest()
    (folders / "trusted").write_text(f"{digest}  addone.so\n")
    for name, load in saved.items():
        if name != "XLA":  # which keeps what it has compiled, and the library with it
            load()
    _refused(NOT_LISTED, lambda: tftvm.Module(compiled[0]))


def test_a_changed_library_is_no_longer_trusted(compiled, folders, monkeypatch):
    path = folders / "root" / "addone.so"
    digest = hashlib.sha256(compiled[0]).hexdigest()
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", digest)
    tftvm.Module(path)
    path.write_bytes(compiled[0] + b"\0")
    _refused(NOT_LISTED, lambda: tftvm.Module(path))


def test_roots_refuse_bytes_of_whatever_source(folders, saved, monkeypatch):
    _unload()
    monkeypatch.setenv("TENSORFLOW_TVM_LIBRARY_ROOTS", str(folders))
    for name, load in saved.items():
        if name != "path":
            _refused(NOT_IN_ROOTS + "these bytes come from a graph, from Python or", load)
    _refused(NOT_IN_ROOTS + "this is .*/addone.so", saved["path"])


def test_what_a_root_has_may_come_from_a_graph_too(root, saved, compiled, monkeypatch):
    (root / "other.so").write_bytes(compiled[1])
    module = tftvm.Module(root / "other.so")
    np.testing.assert_array_equal(saved["SavedModel"](), [3.0, 4.0])
    del module
    _refused(NOT_IN_ROOTS, saved["SavedModel"])


def test_files_in_a_root(root, monkeypatch):
    (root / "deeper").mkdir()
    (root / "deeper" / "link.so").symlink_to(root / "addone.so")
    monkeypatch.chdir(root)
    for path in ("addone.so", "deeper/../addone.so", root / "deeper/link.so"):
        assert tftvm.Module(path)["addone"](X).numpy().tolist() == [2.0, 3.0]


def test_ways_out_of_a_root(folders, root, monkeypatch):
    outside = folders / "elsewhere" / "addone.so"
    (root / "link.so").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    (root / "chain.so").symlink_to(root / "folder" / "addone.so")
    (folders / "root2").mkdir()
    (folders / "root2" / "addone.so").write_bytes(outside.read_bytes())
    monkeypatch.chdir(root)
    for path in (
        outside,
        root / ".." / "elsewhere" / "addone.so",
        "../elsewhere/addone.so",
        root / "link.so",
        root / "folder" / "addone.so",
        root / "chain.so",
        folders / "root2" / "addone.so",
        f"/proc/self/root{outside}",
        f"/proc/self/cwd/../elsewhere/{outside.name}",
        f"file://{outside}",
        f"file://{root}/addone.so",  # not a way out, but no path either
    ):
        _refused(NOT_IN_ROOTS, lambda path=path: tftvm.Module(path))
    with tf.io.gfile.GFile("ram://root/addone.so", "wb") as file:
        file.write(outside.read_bytes())
    _refused(NOT_IN_ROOTS, lambda: tftvm.Module("ram://root/addone.so"))


def test_a_link_that_is_changed_in_between(folders, root, monkeypatch):
    link = folders / "link.so"
    link.symlink_to(root / "addone.so")
    gfile = tf.io.gfile.GFile

    def change_and_open(path, mode):
        link.unlink()
        link.symlink_to(folders / "elsewhere" / "addone.so")
        return gfile(path, mode)

    monkeypatch.setattr(tf.io.gfile, "GFile", change_and_open)
    assert tftvm.Module(link)["addone"](X).numpy().tolist() == [2.0, 3.0]


def test_what_is_built_here_is_no_exception(root):
    function = libraries.elementwise("double", lambda x: x * 2.0)
    _refused(NOT_IN_ROOTS, lambda: tftvm.build({"double": function}))


def test_variables_that_cannot_be_read_allow_nothing(compiled, monkeypatch):
    digest = hashlib.sha256(compiled[0]).hexdigest()
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", f"{digest},sha256:*")
    _refused("'sha256:\\*', which is no digest", lambda: tftvm.Module(compiled[0]))
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", "/no/such/file")
    _refused("neither a list of digests nor a file", lambda: tftvm.Module(compiled[0]))


def test_a_graph_may_run_when_it_is_imported(compiled, monkeypatch):
    """docs/security.md says so. It is not loaded then either, if it may not be."""
    function = libraries.elementwise("addone", lambda x: x + 1, dtype="int64")
    module = tftvm.build({"addone": function})
    with tf.Graph().as_default() as graph:
        tf.fill(module["addone"](tf.constant([1, 2], tf.int64)), 7.0, name="y")
    graph_def = graph.as_graph_def()

    def shape():
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
            return graph.get_tensor_by_name("y:0").shape.as_list()

    assert shape() == [2, 3]  # TensorFlow has called the function to know it
    del module
    _unload()
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", "")
    try:
        assert shape() == [None, None]
    except tf.errors.PermissionDeniedError:
        pass
    _unload()


def _look(tmp_path, folder):
    """Write what is in the temporary folder `folder` into tmp_path/seen, three times.

    A library's own code sees it, which runs while it is loaded.
    """
    source = r"""
    #include <dirent.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/stat.h>
    __attribute__((constructor)) static void look() {
      FILE* out = fopen(getenv("SEEN"), "a");
      DIR* folder = opendir(getenv("TMPDIR"));
      while (dirent* entry = readdir(folder)) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", getenv("TMPDIR"), entry->d_name);
        if (entry->d_name[0] != '.' && lstat(path, &status) == 0) {
          fprintf(out, "%s %o %d\n", entry->d_name, status.st_mode, status.st_uid == getuid());
        }
      }
      fclose(out);
    }
    extern "C" int __tvm_ffi_f(void*, const void*, int, void*) { return 0; }
    """
    path = libraries.compile_cc("#include <unistd.h>\n" + source, tmp_path / "look.so")
    check_python(
        """
        import os, sys
        os.umask(0)
        import tensorflow_tvm as tftvm
        content = open(sys.argv[1], "rb").read()
        for i in range(3):
            tftvm.Module(content + bytes(i))
        """,
        path,
        env={"TMPDIR": str(folder), "SEEN": str(tmp_path / "seen")},
    )


def test_temporary_files_are_private(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    _look(tmp_path, folder)
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert len(seen) == len({name for name, _, _ in seen}) == 3
    for name, mode, own in seen:
        assert name.startswith("tensorflow_tvm-") and len(name) > len("tensorflow_tvm-") + 5
        assert (mode, own) == ("40700", "1")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_temporary_folder_that_others_may_change_is_not_used(tmp_path, mode):
    """Whoever can rename our folder in it can put another library in its place."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    folder.chmod(mode)
    _look(tmp_path, folder)
    assert (tmp_path / "seen").read_text() == ""
    folder.chmod(mode | stat.S_ISVTX)
    _look(tmp_path, folder)
    assert len((tmp_path / "seen").read_text().splitlines()) == 3
