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
"""A server that loads newer libraries and models while requests run."""

from __future__ import annotations

import ctypes
import gc
import itertools
import shutil
import struct
import threading

import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries

RELOADS, WARM_UP, CLIENTS = 200, 50, 3
# Of memory that each library uses: 200 that are not unloaded would be 400 MB.
SIZE = 2 << 20
GROWTH = 48 << 20
SPEC = tf.TensorSpec([None])

_NUMBER = 12345678.0
_SOURCE = f"""
#include <tvm/ffi/c_api.h>

extern "C" volatile const float number = 12345678.0f;
static volatile char memory[{SIZE}] = {{1}};

// A page counts once it is written to.
__attribute__((constructor)) static void use_memory() {{
  for (int64_t i = 0; i < {SIZE}; i += 4096) memory[i] = 1;
}}

// Writes x + number into y.
extern "C" int __tvm_ffi_add(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {{
  auto* x = static_cast<DLTensor*>(args[0].v_ptr);
  auto* y = static_cast<DLTensor*>(args[1].v_ptr);
  for (int64_t i = 0; i < x->shape[0]; ++i) {{
    static_cast<float*>(y->data)[i] = static_cast<float*>(x->data)[i] + number;
  }}
  return 0;
}}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """`library(v)`: the bytes of a library whose function adds v."""
    path = libraries.compile_cc(_SOURCE, tmp_path_factory.mktemp("library") / "add.so")
    with open(path, "rb") as file:
        content = file.read()
    number = struct.pack("<f", _NUMBER)
    assert content.count(number) == 1
    return lambda version: content.replace(number, struct.pack("<f", float(version)))


def _memory():
    """Resident bytes, and mappings."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free is no part of it
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    with open("/proc/self/maps") as file:
        return pages * 4096, sum(1 for _ in file)


class Server:
    """Threads whose requests go to the version that is current."""

    def __init__(self, function):
        self.version, self.function = 0, function
        self.errors = []
        self.served = itertools.count()
        self.newest_served = threading.Condition()
        self.newest = 0
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self._request) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _request(self):
        x = tf.constant([1.0, 2.0])
        try:
            while not self.end.is_set():
                earliest = self.version
                result = self.function(x).numpy().tolist()
                version = int(result[0]) - 1
                assert result == [1.0 + version, 2.0 + version]
                assert earliest <= version <= self.version + 1, (earliest, version, self.version)
                next(self.served)
                with self.newest_served:
                    self.newest = max(self.newest, version)
                    self.newest_served.notify_all()
        except Exception as error:
            self.errors.append(error)

    def replace(self, version, function):
        """Make `function` the current one, and wait until it has answered a request."""
        self.function = function
        self.version = version
        with self.newest_served:
            assert self.newest_served.wait_for(
                lambda: self.newest >= version or self.errors, timeout=60
            )

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()


def _reload(load):
    """Reload 200 times while requests run; return how much memory that took, and mappings."""
    server = Server(load(0))
    try:
        for version in range(1, RELOADS + WARM_UP + 1):
            server.replace(version, load(version))
            assert not server.errors
            if version % 10 == 0:
                # TensorFlow's models are cycles. Else it would be left to chance how many of them
                # lie about at once, and so how large the heap grows.
                gc.collect()
            if version == WARM_UP:
                before = _memory()
        after = _memory()
        assert tftvm.stats()["libraries"] == 1
    finally:
        server.stop()
    assert not server.errors
    assert next(server.served) > RELOADS
    del server
    gc.collect()
    assert tftvm.stats()["libraries"] == 0
    return after[0] - before[0], after[1] - before[1]


def _check_flat(growth):
    memory, mappings = growth
    assert memory < GROWTH, f"{memory / 2**20:.1f} MiB more after {RELOADS} reloads"
    # The allocator maps and unmaps a few; a library that stays has five.
    assert mappings < RELOADS, f"{mappings} mappings more after {RELOADS} reloads"


def _serve(content):
    add = tftvm.Module(content)["add"]
    return tf.function(lambda x: add(x), input_signature=[SPEC], autograph=False)


def test_libraries_in_eager_calls(library):
    _check_flat(_reload(lambda version: tftvm.Module(library(version))["add"]))


def test_libraries_in_functions(library):
    _check_flat(_reload(lambda version: _serve(library(version))))


def test_saved_models(library, tmp_path):
    model = tf.Module()
    model.serve = _serve(library(0))
    tf.saved_model.save(model, str(tmp_path / "model"))
    content = (tmp_path / "model" / "saved_model.pb").read_bytes()
    digest = tftvm.Module(library(0)).digest
    assert content.count(library(0)) == 1
    del model

    def load(version):
        # The same model with another library: to trace and save that many would take longer.
        newer = library(version)
        changed = content.replace(digest.encode(), tftvm.Module(newer).digest.encode())
        folder = tmp_path / str(version)
        shutil.copytree(tmp_path / "model", folder)
        (folder / "saved_model.pb").write_bytes(changed.replace(library(0), newer))
        loaded = tf.saved_model.load(str(folder))
        shutil.rmtree(folder)
        return loaded.serve

    _check_flat(_reload(load))


def test_a_version_that_cannot_be_loaded_leaves_the_current_one(library):
    current = tftvm.Module(library(1))["add"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        tftvm.Module(library(2)[: SIZE // 1000])
    assert current(tf.constant([1.0])).numpy() == [2.0]
