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
"""The schedules that tuning has found: folders of JSON files, one for each function and target."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm_ffi.structural import structural_mutate

_FOLDERS = "TENSORFLOW_TVM_TUNING_DIR"
_FORMAT = 1
_KEPT = ("s_tir", "tirx.noalias")  # attributes of a function that its code depends on

_log = logging.getLogger("tensorflow_tvm")
_given: list[Path] = []  # folders that this process has tuned into
_warned: set[Path] = set()


@dataclasses.dataclass(frozen=True)
class Entry:
    """The best schedule that is known of a function on a target.

    Attributes
    ----------
    trace : list
        The steps that lead to it, as JSON.
    default, tuned : float
        Seconds that the function took with the default schedule, and with this one.
    trials : int
        How many schedules were measured.
    """

    trace: list[Any]
    default: float
    tuned: float
    trials: int

    def apply(self, function: tirx.PrimFunc) -> tirx.PrimFunc:
        """Return `function`, which has no schedule, with this one."""
        schedule = s_tir.Schedule(tvm.IRModule({"main": normalize(function)}))
        s_tir.schedule.Trace.apply_json_to_schedule(self.trace, schedule)
        result = schedule.mod["main"]
        for name, value in function.attrs.items() if function.attrs else ():
            result = result.with_attr(name, value)
        return result


def folders() -> list[Path]:
    """Return the folders with entries, of which the first is written to; they need not exist.

    Returns
    -------
    list of Path
        Those that this process has tuned into, and those that ``$TENSORFLOW_TVM_TUNING_DIR`` lists,
        with colons between them; if it is not set, ``$XDG_DATA_HOME/tensorflow_tvm/tuned``, by
        default ``~/.local/share/tensorflow_tvm/tuned``. If it is empty, there is none.
    """
    text = os.environ.get(_FOLDERS)
    if text is None:
        base = os.environ.get("XDG_DATA_HOME", "")
        # The XDG specification says to ignore a relative path.
        base = base if os.path.isabs(base) else "~/.local/share"
        text = os.path.join(base, "tensorflow_tvm", "tuned")
    listed = [_path(part) for part in text.split(os.pathsep) if part]
    return list(dict.fromkeys([*_given, *listed]))


def open_folder(folder: str | os.PathLike | None) -> Path:
    """Return the folder to write to, after making it; `find` looks into it from now on.

    Parameters
    ----------
    folder : str or os.PathLike, optional
        By default the first of `folders`.

    Raises
    ------
    ValueError
        If there is none, or it cannot be written.
    """
    if folder is not None:
        path = _path(os.fspath(folder))
    elif folders():
        path = folders()[0]
    else:
        raise ValueError(
            f"There is nowhere to store tuned schedules: {_FOLDERS} is empty. Give database=, a "
            "folder, or set it to one."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(f"this user may not write to '{path}'")
    except OSError as error:
        raise ValueError(
            f"Cannot store tuned schedules in '{path}': {error}. Give another folder as database=, "
            f"or set {_FOLDERS} to one."
        ) from None
    if path not in folders():
        _given.append(path)
    return path


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text)).absolute()


def normalize(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a copy of `function` without what does not bear on its schedule, such as its name.

    A copy to the last node, since TVM's schedules may change in place what they were made of.
    """
    function = s_tir.renew_defs(function)
    function = function.with_body(structural_mutate(function.body, [(s_tir.SBlock, _without_rule)]))
    for name in list(function.attrs.keys() if function.attrs else ()):
        if name not in _KEPT:
            function = function.without_attr(name)
    return function.with_attr("global_symbol", "main")


def _without_rule(block: s_tir.SBlock, mutator: Any) -> s_tir.SBlock:
    """Return a block that does not ask for a rule of MetaSchedule's which does not exist."""
    block = mutator.default_mutate(block)
    rule = block.annotations.get("schedule_rule", "None")
    name = f"s_tir.meta_schedule.cpu.{rule}"
    if rule == "None" or tvm.get_global_func(name, allow_missing=True) is not None:
        return block
    annotations = {k: v for k, v in block.annotations.items() if k != "schedule_rule"}
    return s_tir.SBlock(
        *(block.iter_vars, block.reads, block.writes, block.name_hint, block.body, block.init),
        *(block.alloc_buffers, block.match_buffers, annotations),
    )


def is_there() -> bool:
    """Whether anything may be found."""
    return any(folder.is_dir() for folder in folders())


def find(function: tirx.PrimFunc, target: tvm.target.Target) -> Entry | None:
    """Return what is known of a function without a schedule on `target`."""
    name = _file_of(function, target)
    for folder in folders():
        entry = _load(folder / name, function)
        if entry is not None:
            return entry
    return None


def store(
    folder: Path, function: tirx.PrimFunc, target: tvm.target.Target, entry: Entry, name: str
) -> Path:
    """Write what is known of a function without a schedule, and return the file.

    Parameters
    ----------
    folder : Path
        From `open_folder`.
    function : tirx.PrimFunc
    target : tvm.target.Target
    entry : Entry
    name : str
        For who reads the file.
    """
    path = folder / _file_of(function, target)
    document = {
        "function": name,
        "target": str(target),
        "versions": _versions(),
        "processor": _processor(),
        "trials": entry.trials,
        "seconds": {"default": entry.default, "tuned": entry.tuned},
        "trace": entry.trace,
    }
    temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _file_of(function: tirx.PrimFunc, target: tvm.target.Target) -> str:
    """Return the name of the file for a function on a target: of all that its code depends on."""
    parts = {
        "format": _FORMAT,
        "function": normalize(function).script(show_meta=True),
        "target": str(target),
        "versions": _versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest() + ".json"


def _versions() -> dict[str, str]:
    return {"apache-tvm": tvm.__version__, "apache-tvm-ffi": tvm_ffi.__version__}


def _load(path: Path, function: tirx.PrimFunc) -> Entry | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        seconds = document["seconds"]
        entry = Entry(
            document["trace"],
            float(seconds["default"]),
            float(seconds["tuned"]),
            int(document["trials"]),
        )
        entry.apply(function)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        if path not in _warned:
            _warned.add(path)
            what = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning(
                "The tuned schedule in %s cannot be used: %s. The default schedule is, instead; "
                "tune again, or remove the file.",
                path,
                what[0],
            )
        return None
    return entry


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return (
                next(line for line in file if line.startswith("model name")).split(":")[1].strip()
            )
    except (OSError, StopIteration):
        return "unknown"
