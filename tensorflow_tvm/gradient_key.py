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
"""What the op's attribute ``callee`` says of a gradient, as a graph from anywhere has it.

`gradients.to_callee` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorflow_tvm import stored_json

_KEYS = {"callee", "libraries", "stateful", "shaped_like_inputs", "takes", "wrt"}


class GradientKey(NamedTuple):
    """The key ``gradient``."""

    callee: dict[str, Any]
    """What the op that computes the gradient has as its own ``callee``."""
    function: str
    """The name of the function in that."""
    attr_names: tuple[str, ...]
    """The attrs of the function itself that the gradient takes too."""
    libraries: tuple[int, ...]
    """Which of the libraries of the op it needs, its own first."""
    stateful: bool
    shaped_like_inputs: bool
    takes: Sequence[str] | None
    wrt: Sequence[int] | None


class Callee(NamedTuple):
    """The attribute, as far as gradients need it."""

    what: str
    """What messages call the function."""
    attrs: dict[str, Any]
    gradient: Any
    """The key, which `read_gradient` reads; None if there is none."""
    leaves_out_inputs: bool
    """Whether the call does not have all optional inputs."""


def read_callee(text: str | bytes) -> Callee:
    """Read the attribute.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        callee = stored_json.parse(text)
        function = stored_json.as_text(callee.get("function"), "its function")
        library = stored_json.as_text(callee.get("library_name", "library"), "its library_name")
        attrs = stored_json.as_object(callee.get("attrs", {}), "its attrs")
        order = stored_json.as_texts(callee.get("arg_spec", []), "its arg_spec")
    except ValueError as error:
        raise ValueError(f"attribute 'callee' of a TVM op cannot be read: {error}.") from None
    what = f"TVM function '{function}' of library '{library}'"
    return Callee(what, attrs, callee.get("gradient"), "null" in order)


def read_gradient(callee: Callee, library_count: int) -> GradientKey:
    """Read the key, where the op has so many libraries.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        return _read(callee.gradient, library_count)
    except ValueError as error:
        raise ValueError(
            f"{callee.what}: what the graph says of its gradient cannot be read: {error}. It is "
            "damaged, was changed by hand, or was made by a newer tensorflow_tvm."
        ) from None


def _read(value: Any, library_count: int) -> GradientKey:
    key = stored_json.as_object(value, "the key 'gradient'")
    if unknown := set(key) - _KEYS:
        raise ValueError(f"unknown key {stored_json.shortened(min(unknown))}")
    callee = stored_json.as_object(key.get("callee"), "its callee")
    prefix = "attrs."
    order = stored_json.as_texts(callee.get("arg_spec", []), "its arg_spec")
    for flag in ("stateful", "shaped_like_inputs"):
        if not isinstance(key.get(flag, False), bool):
            raise ValueError(f"its {flag} must be true or false")
    takes, wrt = key.get("takes"), key.get("wrt")
    return GradientKey(
        callee,
        stored_json.as_text(callee.get("function"), "the gradient's function"),
        tuple(entry.removeprefix(prefix) for entry in order if entry.startswith(prefix)),
        stored_json.as_indices(key.get("libraries"), "its libraries", library_count),
        key.get("stateful", False),
        key.get("shaped_like_inputs", False),
        None if takes is None else stored_json.as_texts(takes, "takes"),
        None if wrt is None else stored_json.as_indices(wrt, "wrt", 2**31),
    )
