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
"""What a function is compiled for. Needs apache-tvm."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Any

import tvm
import tvm.target.codegen as codegen
import tvm_ffi

from tensorflow_tvm import device_code

# Of LLVM's names of what a processor can do, those that this one cannot.
_missing_cpu_features = tvm_ffi.get_global_func("tensorflow_tvm.missing_cpu_features")


def parse(target: Any) -> tvm.target.Target:
    """Return the target that the caller means.

    Parameters
    ----------
    target : str, mapping or tvm.target.Target
        ``"host"``: this machine's processor. Else what TVM takes: the name of a kind or tag, such
        as ``"llvm"``, ``"cuda"`` or ``"nvidia/nvidia-a100"``, or a mapping with ``"kind"``. For
        ``"cuda"``, ``"arch"`` may be a list; what is generated is for the oldest of those.

    Raises
    ------
    ValueError, TypeError
        If TVM knows no such target.
    """
    if isinstance(target, tvm.target.Target):
        return _checked(target)
    if not isinstance(target, (str, Mapping)):
        raise TypeError(
            "target must be 'host', the name of a TVM target or a dict that describes one, given "
            f"{target!r}."
        )
    try:
        if target == "host":
            return host()
        parsed = tvm.target.Target(_for_tvm(target))
    except Exception as error:
        raise ValueError(
            f"target {target!r} is not known: {_sentence(error)} Possible are 'host', "
            f"{', '.join(_possible_kinds())}, one of TVM's tags such as 'nvidia/nvidia-a100', or a "
            "dict such as {'kind': 'llvm', 'mcpu': 'skylake'}."
        ) from None

    return _checked(parsed)


def _sentence(error: Exception) -> str:
    line = str(error).splitlines()[0]
    return line if line.endswith(".") else line + "."


def split(target: Any) -> tuple[Any, Any | None]:
    """Split what may be a list of targets into the first library's and the one that it carries.

    Raises
    ------
    ValueError
        If a list is not of one target for processors and one for CUDA.
    """
    if not isinstance(target, (list, tuple)):
        return target, None
    kinds = ["cuda" if parse(one).kind.name == "cuda" else "cpu" for one in target]
    if sorted(kinds) != ["cpu", "cuda"] or any(parse(one).kind.name == "rocm" for one in target):
        raise ValueError(
            "a list of targets has to be of one for processors and one for CUDA, such as "
            f"['host', 'cuda'], given {target!r}."
        )
    return target[kinds.index("cpu")], target[kinds.index("cuda")]


def cuda_architectures(target: Any) -> tuple[str, ...] | None:
    """Return what the caller wants device code for; None where `target` does not say."""
    if isinstance(target, Mapping):
        wanted = target.get("arch")
        if wanted is None:
            return None
        names = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(names, (list, tuple)) or not names:
            raise ValueError(f"arch is {wanted!r}; expected a name such as 'sm_80', or a list")
        return tuple(sorted(names, key=_number))
    return None if target == "cuda" else (str(parse(target).attrs["arch"]),)


def _number(architecture: str) -> int:
    digits = re.fullmatch(r"sm_(\d+)[af]?", str(architecture))
    if digits is None:
        raise ValueError(f"arch has {architecture!r}; expected a name such as 'sm_80'")
    return int(digits[1])


def _for_tvm(target: str | Mapping) -> str | dict:
    """Return what TVM takes: one architecture, and for CUDA always one, lest TVM look for a GPU."""
    description = {"kind": target} if target == "cuda" else target
    if isinstance(description, str) or description.get("kind") != "cuda":
        return description if isinstance(description, str) else dict(description)
    oldest = (cuda_architectures(description) or device_code.DEFAULT_ARCHITECTURES)[0]
    return {**description, "arch": oldest}


def _checked(target: tvm.target.Target) -> tvm.target.Target:
    """Refuse targets for which this TVM makes nothing, or nothing that could be loaded."""
    kind = target.kind.name
    if kind not in _possible_kinds():
        raise ValueError(
            f"target '{kind}' is for no device that TensorFlow has, or the installed TVM cannot "
            f"generate code for it; possible are {', '.join(_possible_kinds())}."
        )
    if kind == "llvm":
        _check_llvm(target)
    return target


def _check_llvm(target: tvm.target.Target) -> None:
    """Refuse a processor or features that LLVM would ignore."""
    cpu = target.attrs.get("mcpu", None)
    triple = target.attrs.get("mtriple", None) or codegen.llvm_get_system_triple()
    if cpu and not codegen.llvm_is_valid_cpu(str(cpu), str(triple)):
        raise ValueError(
            f"target 'llvm': LLVM knows no processor '{cpu}' for {triple}. "
            f"This machine's is '{codegen.llvm_get_system_cpu()}'; target='host' is that."
        )
    options = {"kind": "llvm", "mtriple": str(triple), **({"mcpu": str(cpu)} if cpu else {})}
    for feature in map(str, target.attrs.get("mattr", None) or ()):
        name = feature.lstrip("+-")
        with tvm.target.Target({**options, "mattr": [f"+{name}"]}):
            known = name in map(str, codegen.llvm_get_cpu_features())
        if feature[:1] not in ("+", "-") or not known:
            raise ValueError(
                f"target 'llvm': LLVM knows no feature '{feature}' for {triple}; expected '+' or "
                "'-' and one of its names, as in '+avx2'."
            )


@functools.cache
def _possible_kinds() -> tuple[str, ...]:
    """Return the kinds of TensorFlow's devices that the installed TVM generates code for."""
    return tuple(
        kind
        for kind in ("llvm", "c", "cuda", "rocm")
        if tvm.get_global_func(f"target.build.{kind}", allow_missing=True) is not None
    )


def host() -> tvm.target.Target:
    """Return the target of this machine's processor: its name, features and number of cores."""
    description: dict[str, Any] = {
        "kind": "llvm",
        "mcpu": codegen.llvm_get_system_cpu(),
        "num-cores": len(os.sched_getaffinity(0)),
    }
    # The processor's name stands for all that its family has; a virtual machine may hide some.
    missing = _missing_cpu_features(",".join(cpu_features(tvm.target.Target(description))))
    if missing:
        description["mattr"] = [f"-{feature}" for feature in missing]
    return tvm.target.Target(description)


def cpu_features(target: tvm.target.Target) -> list[str]:
    """Return LLVM's names of what code for `target` takes for granted of a processor, sorted."""
    if target.kind.name != "llvm":
        return []  # what is compiled for a GPU has plain code for processors, and so has C
    with target:
        return sorted(map(str, codegen.llvm_get_cpu_features()))
