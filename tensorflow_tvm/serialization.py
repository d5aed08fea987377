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
"""Functions as values that JSON can hold, libraries included."""

from __future__ import annotations

import base64
import binascii
import sys
import zlib
from typing import Any

from tensorflow_tvm.function import Function
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.library import Library

_FORMAT = 1

# What a damaged config raises while it is read.
DAMAGED = (KeyError, IndexError, AttributeError, TypeError, binascii.Error, zlib.error)


def to_config(function: Function) -> dict[str, Any]:
    """Return all that a function is.

    Each library is stored once, however many functions and gradients are in it.

    Raises
    ------
    ValueError
        If its gradient is in Python, or output_shape is a tensor.
    """
    libraries: list[Library] = []
    described = describe(function, libraries)
    return {
        "format": _FORMAT,
        "libraries": [pack(library) for library in libraries],
        "function": described,
    }


def from_config(config: dict[str, Any]) -> Function:
    """Make a function of what `to_config` returned, or find one by the name in its config.

    Raises
    ------
    ValueError
        If it is nothing that `Function.get_config` returns, or nothing is registered by the name.
    tf.errors.OpError
        If a library cannot be loaded here.
    """
    if isinstance(config, dict) and set(config) == {"registered_name"}:
        name = config["registered_name"]
        found = registered_object(name)
        if found is None:
            raise ValueError(
                f"A TVM function is stored by the name '{name}', which is not registered here. "
                "Register it before you load the model, by "
                "keras.saving.register_keras_serializable, or give custom_objects="
                f"{{'{name}': …}}."
            )
        return found
    if not isinstance(config, dict) or not {"format", "libraries", "function"} <= set(config):
        raise ValueError(
            "Expected a function's config, as Function.get_config returns it, given "
            f"{sorted(config) if isinstance(config, dict) else type(config).__name__}."
        )
    if config["format"] != _FORMAT:
        raise ValueError(
            f"A function's config has format {config['format']!r}, and this version of "
            f"tensorflow_tvm reads format {_FORMAT}. Install the version that wrote it."
        )
    try:
        libraries = [unpack(packed) for packed in config["libraries"]]
        return restore(config["function"], libraries)
    except DAMAGED as error:
        raise ValueError(f"A function's config is damaged: {error!r}.") from None


def registered_name(obj: Any) -> str | None:
    """Return the name by which `obj` itself is registered with Keras, if it is."""
    keras = sys.modules.get("keras")
    if keras is None:
        return None
    name = keras.saving.get_registered_name(obj)
    return name if keras.saving.get_registered_object(name) is obj else None


def registered_object(*names: str | None) -> Any:
    """Return what is registered with Keras, or among its custom objects, by one of the names."""
    keras = sys.modules.get("keras")
    if keras is None:
        return None
    found = (keras.saving.get_registered_object(name) for name in names if isinstance(name, str))
    return next(filter(callable, found), None)


def floatx() -> str:
    """Return the dtype that Keras computes in."""
    keras = sys.modules.get("keras")
    return "float32" if keras is None else keras.config.floatx()


def describe(function: Function, libraries: list[Library]) -> dict[str, Any]:
    """Return what a function is, but for its libraries, which are added to `libraries`."""
    if function.has_gradient_in_python:
        raise ValueError(
            f"TVM function '{function.name}' of library '{function.libraries[0].name}' has a "
            "gradient in Python, which cannot be stored. Give a TVM function instead: gradient= "
            "of Module.func, tftvm.build or tftvm.op. Or register the function: "
            f"keras.saving.register_keras_serializable('my_package', '{function.name}')(…)."
        )
    own = function.libraries[0]
    digests = [library.digest for library in libraries]
    if own.digest not in digests:
        libraries.append(own)
        digests.append(own.digest)
    told = function.told
    shapes, several_shapes = told["output_shape"]
    dtypes, several_dtypes = told["output_dtype"]
    if shapes is not None:
        shapes = [_shape_text(shape, function) for shape in shapes]
    if dtypes is not None:
        dtypes = [dtype.name for dtype in dtypes]
    signature, arg_spec, gradient = (told[key] for key in ("signature", "arg_spec", "gradient"))
    return {
        "library": digests.index(own.digest),
        "name": function.name,
        "output_shape": shapes if several_shapes or shapes is None else shapes[0],
        "output_dtype": dtypes if several_dtypes or dtypes is None else dtypes[0],
        "target_device": told["target_device"],
        "memory_align": int(told["memory_align"]),
        "stateful": bool(told["stateful"]),
        "signature": None if signature is None else str(signature),
        "arg_spec": None if arg_spec is None else list(arg_spec),
        "gradient": None if gradient is None else _describe_gradient(gradient, libraries),
    }


def _describe_gradient(gradient: Gradient, libraries: list[Library]) -> dict[str, Any]:
    function = gradient.function
    return {
        "function": function if isinstance(function, str) else describe(function, libraries),
        "takes": list(gradient.takes),
        "wrt": None if gradient.wrt is None else list(gradient.wrt),
    }


def _shape_text(shape: Any, function: Function) -> str:
    if not isinstance(shape, tuple) or not all(isinstance(dim, (int, str)) for dim in shape):
        raise ValueError(
            f"TVM function '{function.name}' of library '{function.libraries[0].name}' has a "
            "tensor as output_shape, which cannot be stored. Say how the shape follows from the "
            'inputs\': signature="(x: float32[n]) -> (y: float32[n-1])", or give integers.'
        )
    return f"[{', '.join(map(str, shape))}]"


def pack(library: Library) -> dict[str, Any]:
    """Return a library as values that JSON can hold."""
    return {
        "name": library.name,
        "digest": library.digest,
        "content": base64.b64encode(zlib.compress(library.content())).decode("ascii"),
    }


def unpack(packed: dict[str, Any]) -> Library:
    """Load a library of what `pack` returned."""
    content = zlib.decompress(base64.b64decode(packed["content"], validate=True))
    return Library(content, packed["digest"], packed["name"])


def restore(described: dict[str, Any], libraries: list[Library]) -> Function:
    """Make a function of what `describe` returned."""
    described = dict(described)
    library = libraries[described.pop("library")]
    library.check_function(described["name"])
    gradient = described.pop("gradient")
    if gradient is not None:
        function = gradient["function"]
        if not isinstance(function, str):
            function = restore(function, libraries)
        gradient = Gradient(function, gradient["takes"], gradient["wrt"])
    return Function(library, gradient=gradient, **described)
