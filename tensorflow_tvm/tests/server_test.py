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
"""``python -m tensorflow_tvm worker``: its options, and how it starts and ends."""

from __future__ import annotations

import argparse
import json
import signal
import socket

import pytest

from tensorflow_tvm import __main__, server
from tensorflow_tvm.tests.subprocesses import run_python
from tensorflow_tvm.tests.workers import Process, Worker, free_ports, running

TF_CONFIG = json.dumps(
    {
        "cluster": {"worker": ["a:1", "b:2"], "ps": ["c:3"]},
        "task": {"type": "worker", "index": 1},
        "rpc_layer": "grpc",
    }
)


def _read(*options, tf_config=""):
    parser = argparse.ArgumentParser()
    server.add_arguments(parser)
    return server._read_options(parser.parse_args(options), tf_config)


def _place(told):
    return told["cluster"], told["job_name"], told["task_index"], told["port"]


@pytest.mark.parametrize(
    ("options", "tf_config", "expected"),
    [
        (["--port", "0"], "", ({"worker": ["localhost:0"]}, "worker", 0, 0)),
        (["--port", "7", "--job-name", "ps"], "", ({"ps": ["localhost:7"]}, "ps", 0, 7)),
        (
            ["--cluster", "worker=a:1,b:2", "ps=c:3", "--task-index", "1"],
            "",
            ({"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "worker", 1, None),
        ),
        (
            ["--cluster", '{"ps": ["[::1]:3"]}', "--job-name", "ps", "--port", "9"],
            "",
            ({"ps": ["[::1]:3"]}, "ps", 0, 9),
        ),
        ([], TF_CONFIG, ({"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "worker", 1, None)),
        (
            ["--job-name", "ps", "--task-index", "0"],
            TF_CONFIG,
            ({"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "ps", 0, None),
        ),
        (
            [],
            TF_CONFIG.replace("1}", '"1"}'),
            ({"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "worker", 1, None),
        ),
        (["--cluster", "worker=d:4"], TF_CONFIG, ({"worker": ["d:4"]}, "worker", 0, None)),
    ],
)
def test_options(options, tf_config, expected):
    assert _place(_read(*options, tf_config=tf_config)) == expected


@pytest.mark.parametrize(
    ("options", "tf_config", "message"),
    [
        ([], "", "no address to listen on"),
        ([], "{", "TF_CONFIG is not JSON"),
        ([], "[]", "TF_CONFIG must be as"),
        ([], '{"cluster": []}', "TF_CONFIG's cluster: expected jobs"),
        (["--port", "65536"], "", "--port must be from 0 to 65535, given 65536"),
        (["--cluster", "worker"], "", "'' of job 'worker' is not a HOST:PORT"),
        (["--cluster", "worker=a"], "", "'a' of job 'worker' is not a HOST:PORT"),
        (["--cluster", "worker=a:70000"], "", "'a:70000' of job 'worker' is not a HOST:PORT"),
        (["--cluster", "=a:1"], "", "expected jobs and their tasks"),
        (["--cluster", "{x"], "", "--cluster is not JSON"),
        (["--cluster", '{"worker": "a:1"}'], "", "expected jobs and their tasks"),
        (["--cluster", "ps=a:1"], "", "the cluster has no job 'worker'. It has: ps"),
        (["--cluster", "worker=a:1,b:2"], "", "job 'worker' has 2 tasks: give --task-index"),
        (["--cluster", "worker=a:1", "--task-index", "1"], "", "has 1 tasks, and no task 1"),
        (["--cluster", "worker=a:1", "--task-index", "-1"], "", "has 1 tasks, and no task -1"),
    ],
)
def test_wrong_options(options, tf_config, message, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", tf_config)
    assert __main__.main(["worker", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_when_told(number):
    with running(Worker()) as (worker,):
        assert worker.first_line == f"/job:worker/task:0 is ready at localhost:{worker.port}"
        socket.create_connection(("localhost", worker.port)).close()
        assert worker.stop(number) == 0
        assert "Traceback" not in worker.errors()


def test_a_task_of_a_cluster():
    for _ in range(3):
        ports = free_ports(2)
        addresses = ",".join(f"localhost:{port}" for port in ports)
        options = ["--cluster", f"worker={addresses}", "--task-index", "1"]
        worker = Process("-m", "tensorflow_tvm", "worker", *options)
        try:
            with running(worker):
                expected = f"/job:worker/task:1 is ready at localhost:{ports[1]}"
                assert worker.first_line == expected
                return
        except AssertionError:
            if "Is the port in use?" not in worker.errors():
                raise
    pytest.fail("no port stays free")


def _run_worker(*options):
    main = "import sys; from tensorflow_tvm.__main__ import main; sys.exit(main(sys.argv[1:]))"
    return run_python(main, "worker", *options)


@pytest.mark.parametrize("others", [[], ["--cluster", "worker=a:1"]])
def test_a_port_in_use(others):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        process = _run_worker("--port", port, *others)
    assert process.returncode == 1
    assert f"cannot serve at port {port}: " in process.stderr
    assert "Is the port in use?" in process.stderr


def test_an_unknown_protocol():
    process = _run_worker("--port", 0, "--protocol", "pigeon")
    assert process.returncode == 1
    assert "TensorFlow has no protocol 'pigeon'" in process.stderr
    assert "Is the port in use?" not in process.stderr
