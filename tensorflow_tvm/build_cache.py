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
"""The disk cache of libraries that were compiled just in time.

It is a flat folder of files ``<key>.so``, each a library followed by a digest. Native code is run
from it, so both the folder and the file must belong to this user, and nobody else may write to
them. All is done relative to the opened folder: what was checked is what is used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator

_FOLDER = "TENSORFLOW_TVM_CACHE_DIR"
_SIZE = "TENSORFLOW_TVM_CACHE_SIZE"
_DEFAULT_SIZE = "1G"
_BYTES = re.compile("([0-9]{1,18})([KMG]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

_KEY = re.compile("[0-9a-f]{64}")
# The only files that are ever removed: the folder may be one that holds other things too.
_OURS = re.compile(_KEY.pattern + r"\.(so|lock|[0-9a-f]{16}\.tmp)")
_DIGEST_SIZE = hashlib.sha256().digest_size
_STALE = 24 * 60 * 60.0  # seconds; a lock or temporary file this old was left by a killed process

_log = logging.getLogger("tensorflow_tvm")
_warned: dict[str, object] = {}


def folder() -> str | None:
    """Return the folder of the disk cache, which need not exist.

    Returns
    -------
    str or None
        ``$TENSORFLOW_TVM_CACHE_DIR``, else ``$XDG_CACHE_HOME/tensorflow_tvm``, else
        ``~/.cache/tensorflow_tvm``. None if ``TENSORFLOW_TVM_CACHE_DIR`` is empty, which switches
        the disk cache off.
    """
    path = os.environ.get(_FOLDER)
    if path is None:
        base = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG specification says to ignore a relative path.
        path = os.path.join(base if os.path.isabs(base) else "~/.cache", "tensorflow_tvm")
    return os.path.expanduser(path) or None


# In the scope of what it returns, it calls its argument if nobody waits for a library any longer.
WhenAbandoned = Callable[[Callable[[], None]], contextlib.AbstractContextManager]


def get_or_build(
    key: str, build: Callable[[], bytes], when_abandoned: WhenAbandoned | None = None
) -> bytes:
    """Return a library from the disk cache, where it is stored first if it is not there.

    Threads and processes that want the same library at once wait for the first to build it. A cache
    that cannot be used costs one warning per process, and the library is built without it.

    Parameters
    ----------
    key : str
        SHA-256 of all that the library depends on, as 64 lowercase hexadecimal digits.
    build : callable
        Returns the library. What it raises is passed on, and nothing is stored then.
    when_abandoned : callable, optional
        See `WhenAbandoned`: others who want the library do not wait any longer either.

    Returns
    -------
    bytes
        The library.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"key is {key!r}; expected 64 lowercase hexadecimal digits")
    path = folder()
    if path is None or (directory := _open_folder(path)) is None:
        return build()
    try:
        library = _load(directory, key)
        if library is None:
            with _lock(directory, key, when_abandoned):
                library = _load(directory, key, discard=True)
                if library is None:
                    library = build()
                    _store(path, directory, key, library)
        return library
    finally:
        os.close(directory)


def check(path: str) -> None:
    """Check that libraries can be cached in a folder, which is made if it does not exist.

    Raises
    ------
    OSError
        If they cannot, with the reason.
    """
    directory = _open_private(path)
    try:
        name = f"{'0' * 64}.{secrets.token_hex(8)}.tmp"
        os.close(_open_in(directory, name, os.O_WRONLY | os.O_CREAT))
        _remove(directory, name)
    finally:
        os.close(directory)


def _open_folder(path: str) -> int | None:
    try:
        return _open_private(path)
    except OSError as error:
        _warn_of_folder(path, error)
        return None


def _open_private(path: str) -> int:
    if path.startswith("~"):
        raise FileNotFoundError(errno.ENOENT, "No such home folder", path)
    with contextlib.suppress(FileExistsError):  # by a file: the next line says so more clearly
        os.makedirs(path, mode=0o700, exist_ok=True)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    status = os.fstat(directory)
    if not _is_private(status):
        os.close(directory)
        owner, mode = status.st_uid, stat.S_IMODE(status.st_mode)
        raise PermissionError(
            f"it belongs to user {owner} and has mode {mode:04o}; expected user {os.geteuid()} "
            "and that only the user may write to it, as native code is loaded from there"
        )
    return directory


def _is_private(status: os.stat_result) -> bool:
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.geteuid() and not others_write


def _open_in(directory: int, name: str, flags: int) -> int:
    # Not blocking: otherwise, opening a FIFO would wait for a writer.
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(name, flags, 0o600, dir_fd=directory)


def _remove(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):  # someone else was faster, or it has to stay
        os.unlink(name, dir_fd=directory)


def _digest(key: str, library: bytes) -> bytes:
    # With the key, so that an entry under another entry's name is noticed as well.
    return hashlib.sha256(key.encode() + library).digest()


def _load(directory: int, key: str, discard: bool = False) -> bytes | None:
    """Return the library if there is one that can be trusted; `discard` a file that cannot be.

    Only who holds the lock may discard: for others, the file may be a new and good one by then.
    """
    name = f"{key}.so"
    try:
        with open(name, "rb", opener=functools.partial(_open_in, directory)) as file:
            status = os.fstat(file.fileno())
            trusted = stat.S_ISREG(status.st_mode) and _is_private(status)
            content = file.read() if trusted else b""
            library, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
            if digest == _digest(key, library):
                with contextlib.suppress(OSError):  # a read-only file system
                    os.utime(file.fileno())  # the least recently used ones are removed first
                return library
    except OSError:  # none, a link, unreadable: storing replaces it
        return None
    if discard:
        reason = "is damaged" if trusted else "is not a regular file that only this user may change"
        _log.info("Building again: %s in the cache %s", name, reason)
        _remove(directory, name)
    return None


@contextlib.contextmanager
def _lock(directory: int, key: str, when_abandoned: WhenAbandoned | None = None) -> Iterator[None]:
    name = f"{key}.lock"
    with contextlib.ExitStack() as stack:
        # Without a lock, a library may be built twice. That is all, as files are replaced whole.
        with contextlib.suppress(OSError):
            file = _open_in(directory, name, os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX)
            # Closing does not unlock while a process forked by build() has the file open, too.
            stack.callback(fcntl.flock, file, fcntl.LOCK_UN)
            if when_abandoned is not None:
                unlock = functools.partial(fcntl.flock, file, fcntl.LOCK_UN)
                stack.enter_context(when_abandoned(unlock))
            # Whoever waits for this very file finds the library stored. Only after a build that
            # failed may they build while another process does, which has made a new lock file.
            stack.callback(_remove, directory, name)
        yield


def _store(path: str, directory: int, key: str, library: bytes) -> None:
    temporary = f"{key}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb", opener=functools.partial(_open_in, directory)) as file:
            file.write(library)
            # At the end, where it does not keep nm, gdb and the like from reading the file.
            file.write(_digest(key, library))
        os.replace(temporary, f"{key}.so", src_dir_fd=directory, dst_dir_fd=directory)
        _evict(directory, kept=f"{key}.so")
    except OSError as error:
        _warn_of_folder(path, error)
    finally:
        _remove(directory, temporary)  # which is there only if something failed


def _evict(directory: int, kept: str) -> None:
    """Remove what killed processes left, and the least recently used libraries over the limit."""
    libraries = []
    with os.scandir(directory) as files:
        for file in files:
            if not _OURS.fullmatch(file.name):
                continue
            try:
                status = file.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if file.name.endswith(".so"):
                libraries.append((status.st_mtime_ns, status.st_size, file.name))
            elif status.st_mtime < time.time() - _STALE:
                _remove(directory, file.name)
    excess = sum(size for _, size, _ in libraries) - _size_limit()
    for _, size, name in sorted(libraries):
        if excess <= 0:
            break
        if name != kept:
            _remove(directory, name)
            excess -= size


def _size_limit() -> int:
    value = os.environ.get(_SIZE, _DEFAULT_SIZE)
    match = _BYTES.fullmatch(value.strip().upper())
    if match is None:
        _warn_once(
            _SIZE,
            f"{_SIZE} is {value!r}; expected a number of bytes, which K, M or G may follow, such "
            f"as 500M. The default, {_DEFAULT_SIZE}, is used.",
        )
        match = _BYTES.fullmatch(_DEFAULT_SIZE)
    return int(match[1]) * _UNITS[match[2]]


def _warn_of_folder(path: str, error: OSError) -> None:
    if error.errno in (
        errno.EMFILE,
        errno.ENFILE,
    ):  # which another folder does not mend; compiling says so
        return
    _warn_once(
        _FOLDER,
        f"Cannot cache compiled libraries in folder {path!r}: {error}. They are compiled anew in "
        f"each process. Set {_FOLDER} to another folder, or to nothing to do without the cache.",
    )


def _warn_once(subject: str, message: str) -> None:
    mine = object()
    if _warned.setdefault(subject, mine) is mine:  # atomic: one thread sees its own object
        _log.warning("%s", message)
