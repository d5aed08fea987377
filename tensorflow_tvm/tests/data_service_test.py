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
"""tf.data service: its workers get the libraries with the dataset."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import python

# Each serves until its standard input ends, which it does with this process at the latest.
_DISPATCHER = """
import sys
import tensorflow as tf
config = tf.data.experimental.service.DispatcherConfig(port=0)
server = tf.data.experimental.service.DispatchServer(config)
print("serving at", server.target.removeprefix("grpc://"), flush=True)
sys.stdin.read()
"""

_WORKER = """
import sys
import tensorflow as tf
if sys.argv[2] == "with the op":
    import tensorflow_tvm
config = tf.data.experimental.service.WorkerConfig(dispatcher_address=sys.argv[1], port=0)
server = tf.data.experimental.service.WorkerServer(config)
print("serving at an address that the dispatcher knows", flush=True)
sys.stdin.read()
assert "libtvm_runtime" not in open("/proc/self/maps").read()
"""

_SECONDS = 120


def _stop(process):
    """End a server, which has to say by its exit status that all was well."""
    try:
        process.stdin.close()
        assert process.wait(_SECONDS) == 0
    finally:
        process.kill()


@pytest.fixture
def start(tmp_path):
    """Return `start(code, *args, path=None)`: it starts a server and returns what it prints."""
    with contextlib.ExitStack() as stack:

        def start(code, *args, path=None):
            log = stack.enter_context(open(tmp_path / "log.txt", "a+"))
            process = subprocess.Popen(
                **python(code, *args, path=path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=tmp_path,
            )
            stack.callback(_stop, process)
            ready, _, _ = select.select([process.stdout], [], [], _SECONDS)
            line = process.stdout.readline() if ready else ""
            if not line.startswith("serving at "):
                log.seek(0)
                raise AssertionError(f"no server after {_SECONDS} s: {log.read()[-4000:]}")
            return line.removeprefix("serving at ").strip()

        yield start


def _read(dataset, address):
    """Return the elements of `dataset`, each mapped by one of the workers."""
    service = tf.data.experimental.service.distribute(
        tf.data.experimental.service.ShardingPolicy.OFF, f"grpc://{address}"
    )
    return [element.numpy() for element in dataset.apply(service)]


def test_workers_have_no_file_and_no_tvm(tmp_path, start, folders_without_tvm):
    functions = [
        libraries.elementwise("addone", lambda x: x + 1.0),
        libraries.elementwise("where", lambda x: x * 2.0),
    ]
    module = tftvm.Module(libraries.export(functions, tmp_path / "library.so"))
    os.remove(tmp_path / "library.so")
    dispatcher = start(_DISPATCHER, path=folders_without_tvm)
    start(_WORKER, dispatcher, "with the op", path=folders_without_tvm)
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    dataset = tf.data.Dataset.from_tensor_slices(x).map(module["addone"]).map(module["where"])
    np.testing.assert_array_equal(_read(dataset, dispatcher), (x + 1.0) * 2.0)
    # A second dataset with the same library, and batches of unknown size.
    dataset = tf.data.Dataset.from_tensor_slices(x[:, 0]).batch(4).map(module["addone"])
    first, second = _read(dataset, dispatcher)
    np.testing.assert_array_equal(np.concatenate([first, second]), x[:, 0] + 1.0)


def test_worker_that_has_not_the_op(tmp_path, start, addone_path):
    addone = tftvm.Module(addone_path)["addone"]
    dispatcher = start(_DISPATCHER)
    start(_WORKER, dispatcher, "without")
    dataset = tf.data.Dataset.from_tensor_slices([[1.0]]).map(addone)
    with pytest.raises(tf.errors.NotFoundError, match="Op type not registered 'TVM>DSOOp'"):
        _read(dataset, dispatcher)
