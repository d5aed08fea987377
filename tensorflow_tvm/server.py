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
"""``python -m tensorflow_tvm worker``: a TensorFlow server that knows TVM's ops."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

_LARGEST_PORT = 65535
_EXAMPLE = (
    '\'{"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}\' or worker=10.0.0.1:2222,10.0.0.2:2222'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--cluster",
        nargs="+",
        metavar="JOB=HOST:PORT,...",
        help="all tasks: job by job, or as JSON (default: TF_CONFIG, else this worker alone)",
    )
    parser.add_argument("--job-name", help="the job that this is a task of (default: worker)")
    parser.add_argument("--task-index", type=int, help="which of them (default: the only one)")
    parser.add_argument(
        "--port",
        type=int,
        help="where to listen; 0 for any that is free (default: what the cluster says)",
    )
    parser.add_argument("--protocol", help="(default: grpc)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT comes, and return the exit status."""
    try:
        told = _read_options(options, os.environ.get("TF_CONFIG", ""))
    except ValueError as error:
        print(f"python -m tensorflow_tvm worker: {error}", file=sys.stderr)
        return 2
    # A signal may come just before a wait for it begins, or to another thread; bytes stay there.
    stopped, stop = socket.socketpair()
    stop.setblocking(False)
    signal.set_wakeup_fd(stop.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # A task that fails is reported to who called it, as tf.distribute's coordinator needs it.
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")
    config = tf.compat.v1.ConfigProto()
    tasks = sum(map(len, told["cluster"].values()))
    if (os.cpu_count() or 1) <= tasks:  # tasks that wait for each other need a thread for each
        config.inter_op_parallelism_threads = tasks + 1
    definition = tf.train.ServerDef(
        cluster=tf.train.ClusterSpec(told["cluster"]).as_cluster_def(),
        job_name=told["job_name"],
        task_index=told["task_index"],
        protocol=told["protocol"],
        port=told["port"] or 0,
        default_session_config=config,
    )
    try:
        server = tf.distribute.Server(definition)
    except tf.errors.OpError as error:
        address = told["cluster"][told["job_name"]][told["task_index"]]
        port = told["port"] or address.rpartition(":")[2]
        if isinstance(error, tf.errors.NotFoundError):  # what TensorFlow says of it are ten lines
            reason = f"TensorFlow has no protocol '{told['protocol']}'. Leave it out, for grpc."
        else:
            reason = f"{error.message}. Is the port in use?"
        print(
            f"python -m tensorflow_tvm worker: cannot serve at port {port}: {reason}",
            file=sys.stderr,
        )
        return 1
    task = f"/job:{told['job_name']}/task:{told['task_index']}"
    print(f"{task} is ready at {server.target.removeprefix('grpc://')}", flush=True)
    stopped.recv(1)
    return 0


def _read_options(options: argparse.Namespace, tf_config: str) -> dict[str, Any]:
    """Return cluster, job_name, task_index, protocol and port.

    Raises
    ------
    ValueError
        If they are wrong, or contradict each other.
    """
    said = _read_tf_config(tf_config) if options.cluster is None else {}
    task = said.get("task", {})
    job = options.job_name or task.get("type", "worker")
    port = options.port
    if port is not None and not 0 <= port <= _LARGEST_PORT:
        raise ValueError(f"--port must be from 0 to {_LARGEST_PORT}, given {port}.")
    if options.cluster is not None:
        cluster = _parse_cluster(options.cluster)
    elif "cluster" in said:
        cluster = _check_cluster(said["cluster"], "TF_CONFIG's cluster")
    elif port is not None:
        cluster = {job: [f"localhost:{port}"]}
    else:
        raise ValueError(
            "no address to listen on. Give --port, or --cluster and --task-index, or set TF_CONFIG."
        )
    if job not in cluster:
        raise ValueError(f"the cluster has no job '{job}'. It has: {', '.join(cluster)}.")
    index = options.task_index if options.task_index is not None else task.get("index")
    count = len(cluster[job])
    if index is None and count == 1:
        index = 0
    if index is None:
        raise ValueError(f"job '{job}' has {count} tasks: give --task-index, 0 to {count - 1}.")
    if isinstance(index, str) and index.isdecimal():  # as some schedulers write TF_CONFIG
        index = int(index)
    if not isinstance(index, int) or not 0 <= index < count:
        raise ValueError(f"job '{job}' has {count} tasks, and no task {index}.")
    return {
        "cluster": cluster,
        "job_name": job,
        "task_index": index,
        "protocol": options.protocol or said.get("rpc_layer", "grpc"),
        "port": port,
    }


def _read_tf_config(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is not JSON: {error}.") from None
    if not isinstance(said, dict) or not isinstance(said.get("task", {}), dict):
        raise ValueError(
            'TF_CONFIG must be as {"cluster": {"worker": ["host:port"]}, "task": {"type": "worker",'
            f' "index": 0}}}}, given {text}.'
        )
    return said


def _parse_cluster(parts: Sequence[str]) -> dict[str, list[str]]:
    if parts[0].lstrip().startswith("{"):
        text = " ".join(parts)
        try:
            cluster = json.loads(text)
        except ValueError as error:
            raise ValueError(f"--cluster is not JSON: {error}: {text}") from None
        return _check_cluster(cluster, "--cluster")
    cluster = {}
    for part in parts:
        job, _, addresses = part.partition("=")
        cluster[job] = addresses.split(",")
    return _check_cluster(cluster, "--cluster")


def _check_cluster(cluster: Any, what: str) -> dict[str, list[str]]:
    expected = f"expected jobs and their tasks as {_EXAMPLE}"
    if not isinstance(cluster, Mapping) or not cluster:
        raise ValueError(f"{what}: {expected}, given {cluster!r}.")
    for job, addresses in cluster.items():
        if not job or not isinstance(addresses, list) or not addresses:
            raise ValueError(f"{what}: {expected}, given {job!r}: {addresses!r}.")
        for address in addresses:
            host, _, port = str(address).rpartition(":")
            if not host or not port.isdecimal() or int(port) > _LARGEST_PORT:
                raise ValueError(
                    f"{what}: '{address}' of job '{job}' is not a HOST:PORT; {expected}."
                )
    return dict(cluster)
