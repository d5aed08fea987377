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
"""Workers in processes of their own, and a count of what is sent to them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

_SECONDS = 180  # for a process to start, on a machine that does other things too


class Process:
    """A Python process in an empty folder, whose first line of output is waited for."""

    def __init__(self, *args: str, env: dict[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.log = tempfile.TemporaryFile("w+")
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, *args],
            cwd=self._folder.name,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.first_line = ""

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait for the first line."""
        timer = threading.Timer(_SECONDS, self._process.kill)
        timer.start()
        self.first_line = self._process.stdout.readline().strip()
        timer.cancel()
        if not self.first_line:
            self.kill()
            raise AssertionError(f"the process has not started:\n{self.errors()}")

    def files(self) -> list[str]:
        """Return what the process has left in its folder."""
        return [str(path) for path in Path(self._folder.name).rglob("*")]

    def errors(self) -> str:
        """Return the end of what it has written to stderr."""
        self.log.seek(0)
        return self.log.read()[-4000:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        try:
            self.output = self._process.communicate(timeout=_SECONDS)[0]
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the process does not end:\n{self.errors()}") from None
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, if it runs."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class Worker(Process):
    """``python -m tensorflow_tvm worker``, at any free port or at `port`."""

    def __init__(self, *args: str, port: int = 0, env: dict[str, str] | None = None) -> None:
        super().__init__("-m", "tensorflow_tvm", "worker", "--port", str(port), *args, env=env)

    @property
    def address(self) -> str:
        """Host and port, once it is ready."""
        return self.first_line.rpartition(" ")[2]

    @property
    def port(self) -> int:
        """Port, once it is ready."""
        return int(self.address.rpartition(":")[2])


@contextlib.contextmanager
def running(*processes: Process):
    """Wait until all are ready; kill them in the end, whatever happens."""
    try:
        for process in processes:
            process.wait_until_ready()
        yield processes
    finally:
        for process in processes:
            process.kill()


class Proxy(Process):
    """Passes on what is sent to an address, and counts it.

    In a process of its own: TensorFlow keeps Python's lock while it waits for other machines.
    """

    def __init__(self, address: str) -> None:
        super().__init__(__file__, address)

    @property
    def address(self) -> str:
        """Host and port, once it is ready."""
        return self.first_line

    @property
    def sent(self) -> int:
        """How many bytes have been sent to the address."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class _Counter:
    def __init__(self, host: str, port: int) -> None:
        self.sent = 0
        self._target = (host, port)
        self._lock = threading.Lock()

    def accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            try:
                server = socket.create_connection(self._target)
            except OSError:  # it is not there now
                client.close()
                continue
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if counts:
                    with self._lock:
                        self.sent += len(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _run_proxy(host: str, port: int) -> None:
    listener = socket.create_server(("localhost", 0))
    counter = _Counter(host, port)
    threading.Thread(target=counter.accept, args=[listener], daemon=True).start()
    print(f"localhost:{listener.getsockname()[1]}", flush=True)
    for _ in sys.stdin:
        print(counter.sent, flush=True)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; another program may take one before it is used."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    target = sys.argv[1].rpartition(":")
    _run_proxy(target[0], int(target[2]))
