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
"""Ops as values that JSON can hold: the names to find one by, and its compiled functions.

A Python function is never stored, nor is a module imported because a config names it: loading a
config runs no Python code that the process does not have already. Libraries are native code, which
`Library` checks as it does all others.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import itertools
import json
import logging
import sys
import threading
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tensorflow_tvm import serialization
from tensorflow_tvm.function import Function
from tensorflow_tvm.library import Library
from tensorflow_tvm.op import Op

_logger = logging.getLogger("tensorflow_tvm")

_FORMAT = 1
_MANY_SIZES = 8
# Ops that no module has are found by these names in the process that stored them, as long as they
# live. What is stored by such a name alone is kept.
_PROCESS = uuid.uuid4().hex
_lock = threading.Lock()
_counter = itertools.count()
_names_here: weakref.WeakKeyDictionary[Op, str] = weakref.WeakKeyDictionary()
_ops_here: weakref.WeakValueDictionary[str, Op] = weakref.WeakValueDictionary()
_kept: dict[str, Op] = {}
_KEYS = {"format", "name", "registered_name"}
_PARAMETER_KINDS = {
    kind.name: kind
    for kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    )
}


def to_config(op: Op) -> dict[str, Any]:
    """Return what `Op.get_config` does.

    Raises
    ------
    ValueError
        If another process could not find the op by a name, and it cannot be stored as what has
        been compiled.
    """
    stored = op.stored
    if stored is not None and not op.has_gradient_in_python:
        return stored.config
    config: dict[str, Any] = {
        "format": _FORMAT,
        "name": op.__name__,
        "registered_name": serialization.registered_name(op),
    }
    if config["registered_name"] is not None:
        return config
    is_importable = find(op.__module__, op.__qualname__) is op
    if is_importable:
        config.update(module=op.__module__, qualname=op.__qualname__)
    else:
        config["here"] = _name_here(op)
    try:
        described = _describe(op)
    except ValueError as error:
        if not is_importable:
            raise ValueError(f"{_context(op)} cannot be saved: {error} {_by_name(op)}") from None
        return config
    if described is not None:
        config.update(described)
    elif not is_importable and config["here"] not in _kept:
        _kept[config["here"]] = op
        _logger.warning(
            "%s was saved before it was called, so that nothing is compiled that could be saved: "
            "only this process can load it. Call the model before you save it. %s",
            _context(op),
            _by_name(op),
        )
    return config


def from_config(config: Mapping[str, Any]) -> Any:
    """Return the op of which `to_config` returned `config`, or one that calls what was compiled.

    Raises
    ------
    ValueError
        If the config is damaged, or the op is stored by name and not found.
    tf.errors.OpError
        If a library cannot be loaded here.
    """
    if not isinstance(config, Mapping) or not set(config) >= _KEYS:
        raise ValueError(
            "Expected an op's config, as Op.get_config returns it, given "
            f"{sorted(config) if isinstance(config, Mapping) else type(config).__name__}."
        )
    if config["format"] != _FORMAT:
        raise ValueError(
            f"An op's config has format {config['format']!r}, and this version of tensorflow_tvm "
            f"reads format {_FORMAT}. Install the version that wrote it."
        )
    name, registered_name = config["name"], config["registered_name"]
    if not isinstance(name, str) or not isinstance(registered_name, (str, type(None))):
        raise ValueError(
            f"An op's config is damaged: it has the names {name!r} and {registered_name!r}."
        )
    found = serialization.registered_object(registered_name, name)
    if found is not None:
        return found
    found = _ops_here.get(str(config.get("here")))
    if found is not None:
        return found
    has_functions = "functions" in config
    module, qualname = config.get("module"), config.get("qualname")
    # Without TVM's compiler an op cannot be called, and what it was compiled to can.
    if isinstance(module, str) and isinstance(qualname, str):
        found = find(module, qualname)
        if isinstance(found, Op) and (not has_functions or importlib.util.find_spec("tvm")):
            return found
    if has_functions:
        try:
            return _restore(dict(config))
        except serialization.DAMAGED as error:
            raise ValueError(f"The config of TVM op '{name}' is damaged: {error!r}.") from None
    if registered_name is not None:
        where = f"by the name '{registered_name}', which is not registered here"
        cure = "Import the module that registers it before you load the model"
    elif module is not None:
        where = f"as '{qualname}' of module '{module}', which is not here"
        cure = "Import the module before you load the model"
    else:
        where = "by another process, which had not called it, so that nothing was compiled"
        cure = "Call the model before you save it"
    raise ValueError(
        f"TVM op '{name}' was stored {where}. {cure}, or give custom_objects="
        f"{{'{registered_name or name}': …}}."
    )


def find(module: str, qualname: str) -> Any:
    """Return what a module that has been imported has by that name; None if there is nothing.

    It runs no code, such as a module's or a class's ``__getattr__``.
    """
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _name_here(op: Op) -> str:
    """Return a name for an op that no module has; it is good in this process."""
    with _lock:
        name = _names_here.get(op)
        if name is None:
            name = _names_here[op] = f"{_PROCESS}-{next(_counter)}"
            _ops_here[name] = op
        return name


def _context(op: Op) -> str:
    return f"TVM op '{op.__name__}'"


def _by_name(op: Op) -> str:
    name = "my_op" if op.__name__ == "<lambda>" else op.__name__
    return (
        f"No module has it as '{op.__qualname__}', to be found by that name: define it at the top "
        "level of a module; or register it, here and where the model is loaded: "
        f'keras.saving.register_keras_serializable("my_package", "{name}")(…).'
    )


@dataclasses.dataclass(frozen=True)
class StoredFunction:
    """What an op was compiled to, for inputs of certain dtypes and shapes, and for its attrs.

    Attributes
    ----------
    inputs : tuple of tf.TensorSpec
        A dimension of None stands for any size.
    attrs : str
        JSON, in which tuples are lists.
    function : Function
    """

    inputs: tuple[tf.TensorSpec, ...]
    attrs: str
    function: Function


@dataclasses.dataclass(frozen=True)
class StoredFunctions:
    """The compiled functions of an op whose Python function is not here, and their config."""

    functions: tuple[StoredFunction, ...]
    config: dict[str, Any]

    def function_for(
        self, tensors: Sequence[Any], attrs: Mapping[str, Any], context: str
    ) -> Function:
        """Return the function for tensors, or specs of those.

        Raises
        ------
        ValueError
            If there is none for such.
        """
        specs = tuple(tf.TensorSpec(x.shape, x.dtype) for x in tensors)
        try:
            text = _attrs_text(attrs)
        except ValueError:
            text = None  # such attrs are not stored
        fitting = [
            stored
            for stored in self.functions
            if stored.attrs == text
            and len(stored.inputs) == len(specs)
            and all(map(tf.TensorSpec.is_subtype_of, specs, stored.inputs))
        ]
        if not fitting:
            listed = "; ".join(_call_text(stored.inputs, stored.attrs) for stored in self.functions)
            raise ValueError(
                f"{context} was loaded without its Python function, as what it had been compiled "
                f"to, for {listed}; it was called with {_call_text(specs, text or repr(attrs))}. "
                "Call it as it was called before it was saved, or load it where its Python "
                f"function is: custom_objects={{'{self.config['name']}': …}}."
            )
        return max(fitting, key=lambda stored: _known_sizes(stored.inputs)).function


def _describe(op: Op) -> dict[str, Any] | None:
    """Return what of an op's config says what it has been compiled to; None if that is nothing.

    Raises
    ------
    ValueError
        If that cannot be stored.
    """
    if op.has_gradient_in_python:
        raise ValueError(
            "its gradient is in Python (with_gradient or gradient_from=), which a file cannot hold."
        )
    libraries: list[Library] = []
    functions = []
    for specs, attrs, function in _representatives(op):
        functions.append(
            {
                "inputs": [[x.dtype.name, x.shape.as_list()] for x in specs],
                "attrs": json.loads(_attrs_text(attrs)),
                "function": serialization.describe(function, libraries),
            }
        )
    if not functions:
        return None
    parameters = []
    for parameter in op.__signature__.parameters.values():
        described: dict[str, Any] = {"name": parameter.name, "kind": parameter.kind.name}
        if parameter.default is not parameter.empty:
            described["default"] = json.loads(_attrs_text(parameter.default))
        parameters.append(described)
    return {
        "parameters": parameters,
        "shapes": None if op.shapes is None else list(op.shapes),
        "libraries": [serialization.pack(library) for library in libraries],
        "functions": functions,
    }


def _representatives(
    op: Op,
) -> Iterable[tuple[tuple[tf.TensorSpec, ...], dict[str, Any], Function]]:
    """Yield compiled functions that stand for all calls so far.

    They are for any number of samples (the first dimension), and, where there were calls of many
    sizes, for any of those: what a model calls after it was loaded is seldom just what was called
    before. Where TVM cannot compile that, each call's own function is taken.
    """
    kinds: dict[Any, list[Any]] = {}
    for call in op.calls() or _expected_call(op):
        specs, attrs, _ = call
        kind = (*((x.dtype, x.shape.rank) for x in specs), repr(sorted(attrs.items())))
        kinds.setdefault(kind, []).append(call)
    for calls in kinds.values():
        groups: dict[Any, list[Any]] = {}
        for call in calls:
            groups.setdefault(tuple(map(_with_any_samples, call[0])), []).append(call)
        if len(groups) > _MANY_SIZES:
            general = (
                x[0].most_specific_common_supertype(x[1:]) for x in zip(*groups, strict=True)
            )
            groups = {tuple(general): calls}
        for specs, ones in groups.items():
            attrs = ones[0][1]
            try:
                yield specs, attrs, op.function_for_call(specs, attrs)
            except (TypeError, ValueError):
                yield from ones


def _with_any_samples(spec: tf.TensorSpec) -> tf.TensorSpec:
    return tf.TensorSpec([None, *spec.shape[1:]] if spec.shape.rank else [], spec.dtype)


def _expected_call(op: Op) -> list[Any]:
    """Return how Keras would call an op that has not been called, if shapes= says how."""
    if op.shapes is None:
        return []
    specs = [tf.TensorSpec(None, serialization.floatx())] * len(op.shapes)
    try:
        op.function_for(*specs)
    except (TypeError, ValueError):
        return []  # it is for other dtypes, or needs attrs
    return op.calls()


def _restore(config: dict[str, Any]) -> Op:
    libraries = [serialization.unpack(packed) for packed in config["libraries"]]
    functions = tuple(
        StoredFunction(
            tuple(tf.TensorSpec(shape, dtype) for dtype, shape in described["inputs"]),
            _attrs_text(described["attrs"]),
            serialization.restore(described["function"], libraries),
        )
        for described in config["functions"]
    )
    context = f"TVM op '{config['name']}'"

    def missing(*args: Any, **attrs: Any) -> Any:
        raise ValueError(
            f"{context} was loaded without its Python function, so that it cannot be called on TE "
            f"tensors. Load it where that is: custom_objects={{'{config['name']}': …}}."
        )

    missing.__name__ = config["name"]
    missing.__qualname__ = config.get("qualname") or config["name"]
    missing.__module__ = config.get("module") or __name__
    missing.__doc__ = None
    try:
        missing.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    described["name"],
                    _PARAMETER_KINDS[described["kind"]],
                    default=described.get("default", inspect.Parameter.empty),
                )
                for described in config["parameters"]
            ]
        )
    except ValueError as error:
        raise TypeError(f"parameters: {error}") from None
    op = Op(missing, config["shapes"])
    op.stored = StoredFunctions(functions, config)
    return op


def _attrs_text(attrs: Any) -> str:
    """Return attrs, or one of them, as JSON.

    Raises
    ------
    ValueError
        If JSON has no such values.
    """
    try:
        return json.dumps(attrs, sort_keys=True)
    except (TypeError, ValueError):
        raise ValueError(
            f"it has the attrs {attrs!r}; expected numbers, strings, bools, None, and lists and "
            "dicts of those, which a file can hold."
        ) from None


def _call_text(specs: Iterable[tf.TensorSpec], attrs: str) -> str:
    tensors = ", ".join(
        x.dtype.name
        + ("[…]" if x.shape.rank is None else str(x.shape.as_list()).replace("None", "any"))
        for x in specs
    )
    return tensors if attrs == "{}" else f"{tensors} and {attrs}"


def _known_sizes(specs: Iterable[tf.TensorSpec]) -> int:
    return sum(size is not None for x in specs for size in x.shape)
