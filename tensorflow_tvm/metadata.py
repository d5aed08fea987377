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
"""What a library says of its own functions, by tvm-ffi's metadata symbol.

tvm-ffi's convention is a symbol ``__tvm_ffi__metadata_<name>`` that gives a JSON object. Its key
``type_schema`` has the types of a C++ function's arguments, without shapes, and without saying
which tensors are outputs. Our own key ``tensorflow_tvm`` has the signature.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from tensorflow_tvm import stored_json
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.signature import ANY_DTYPE, Argument, Signature

_KEY = "tensorflow_tvm"
_TENSORS = ("DLTensor*", "ffi.Tensor", "ffi.TensorView")
_SCALARS = {"int": "int", "float": "float", "bool": "bool", "str": "str", "ffi.String": "str"}


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a library says of one function.

    Attributes
    ----------
    signature : Signature or None
        None if it says nothing that can be used.
    arg_spec : tuple of str or None
        The order of the function's arguments, as in `Module.func`. None if it is not known which
        of the signature's inputs are in truth outputs that the function fills in.
    output_count : int or None
        None if that is not known.
    owned_tensors : bool
        Whether it takes tensors that it may keep, rather than views.
    devices : tuple of str
        What it was compiled for, of ``"cpu"``, ``"cuda"`` and TVM's other names; empty if it does
        not say.
    gradient : Gradient or None
        Which function of the library gives its gradient.
    in_place : tuple of int
        Which inputs may give their memory to the output, of which there is one then.
    """

    signature: Signature | None = None
    arg_spec: tuple[str, ...] | None = None
    output_count: int | None = None
    owned_tensors: bool = False
    devices: tuple[str, ...] = ()
    gradient: Gradient | None = None
    in_place: tuple[int, ...] = ()

    def with_outputs(self, count: int) -> Metadata:
        """Return what is said of the function if it has `count` outputs and that was not known."""
        if self.signature is None or self.output_count is not None:
            return self
        arguments = self.signature.arguments
        if self.arg_spec is not None:  # it returns them
            outputs = tuple(_tensor("output", f"ret{i}") for i in range(count))
            signature = Signature(arguments + outputs)
            return dataclasses.replace(self, signature=signature, output_count=count)
        # The last tensors, as is the custom. An op has all of its outputs, so none is optional.
        tensors = [argument for argument in self.signature.inputs if not argument.optional]
        if len(tensors) < count:
            return Metadata()
        last = tensors[len(tensors) - count :]
        taken = tuple(argument for argument in arguments if argument not in last)
        places = {argument: f"rets.{i}" for i, argument in enumerate(last)}
        spec = iter(order(taken))
        outputs = tuple(_tensor("output", argument.name) for argument in last)
        return dataclasses.replace(
            self,
            signature=Signature(taken + outputs),
            arg_spec=tuple(places.get(argument) or next(spec) for argument in arguments),
            output_count=count,
        )


def order(arguments: Iterable[Argument]) -> tuple[str, ...]:
    """Return the arg_spec that says inputs and attrs one by one, as `arguments` lists them."""
    inputs = itertools.count()
    return tuple(
        f"attrs.{argument.name}" if argument.role == "attr" else f"args.{next(inputs)}"
        for argument in arguments
        if argument.role != "output"
    )


class Said(NamedTuple):
    """What a library that we build says of a function."""

    signature: Signature
    gradient: Gradient | None
    in_place: tuple[int, ...]
    arg_spec: tuple[str, ...]  # one entry for each argument


def write(said: Said, devices: Iterable[str]) -> str:
    """Return the metadata of a function that we build for `devices`: it fills in its outputs."""
    names = {ours: theirs for theirs, ours in _SCALARS.items()}
    scalars = {f"attrs.{attr.name}": names[attr.dtype] for attr in said.signature.attrs}
    types = [{"type": scalars.get(entry, _TENSORS[0])} for entry in said.arg_spec]
    schema = json.dumps({"type": "ffi.Function", "args": [{"type": "None"}, *types]})
    own: dict[str, Any] = {"signature": str(said.signature), "devices": list(devices)}
    outputs = tuple(f"rets.{i}" for i in range(len(said.signature.outputs)))
    if said.arg_spec != (*order(said.signature.arguments), *outputs):
        own["arg_spec"] = said.arg_spec
    if said.gradient is not None:
        own["gradient"] = dataclasses.asdict(said.gradient)
    if said.in_place:
        own["in_place"] = said.in_place
    return json.dumps({"type_schema": schema, _KEY: own})


def read(text: str) -> Metadata:
    """Read metadata; what tvm-ffi says and is not understood is taken for not said.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    if not text:
        return Metadata()
    metadata = stored_json.parse(text)
    if _KEY in metadata:
        return _read_own(stored_json.as_object(metadata[_KEY], f"its key '{_KEY}'"))
    if not isinstance(metadata.get("type_schema"), str):
        return Metadata()
    schema = stored_json.parse(metadata["type_schema"])
    try:
        return _read_schema(schema)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return Metadata()


def _read_own(own: dict[str, Any]) -> Metadata:
    signature = Signature.parse(stored_json.as_text(own.get("signature"), "its signature"))
    gradient = None
    if (said := own.get("gradient")) is not None:
        said = stored_json.as_object(said, "its gradient")
        wrt, count = said.get("wrt"), len(signature.inputs)
        gradient = Gradient(
            stored_json.as_text(said.get("function"), "its gradient's function"),
            stored_json.as_texts(said.get("takes"), "its gradient's takes"),
            None if wrt is None else stored_json.as_indices(wrt, "its gradient's wrt", count),
        )
    arg_spec = (*order(signature.arguments), "rets")
    if "arg_spec" in own:
        arg_spec = stored_json.as_texts(own["arg_spec"], "its arg_spec")
    return Metadata(
        signature,
        arg_spec,
        len(signature.outputs),
        devices=stored_json.as_texts(own.get("devices", []), "its devices"),
        gradient=gradient,
        in_place=stored_json.as_indices(
            own.get("in_place", []), "its in_place", len(signature.inputs)
        ),
    )


def _read_schema(schema: dict[str, Any]) -> Metadata:
    returned, *taken = schema["args"]
    arguments = []
    owned = False
    for i, entry in enumerate(taken):
        optional = entry["type"] == "Optional"
        tensor_type = (entry["args"][0] if optional else entry)["type"]
        owned |= tensor_type == "ffi.Tensor"
        if tensor_type in _TENSORS:
            arguments.append(Argument("input", f"arg{i}", ANY_DTYPE, optional=optional))
        elif (attr_type := _attr_type(entry)) is not None:
            arguments.append(Argument("attr", f"arg{i}", attr_type))
        else:
            return Metadata()
    if returned["type"] == "None":
        return Metadata(Signature(tuple(arguments)), owned_tensors=owned)
    spec = order(arguments)
    if returned["type"] == "ffi.Array" and returned["args"][0]["type"] in _TENSORS:
        return Metadata(Signature(tuple(arguments)), spec, owned_tensors=owned)
    outputs = returned["args"] if returned["type"] == "Tuple" else [returned]
    if not all(entry["type"] in _TENSORS for entry in outputs):
        return Metadata()
    tensors = [_tensor("output", f"ret{i}") for i in range(len(outputs))]
    return Metadata(Signature((*arguments, *tensors)), spec, len(outputs), owned)


def _tensor(role: str, name: str) -> Argument:
    return Argument(role, name, ANY_DTYPE)


def _attr_type(entry: dict[str, Any]) -> str | None:
    if entry["type"] == "ffi.Array":
        element = _SCALARS.get(entry["args"][0]["type"])
        return element and f"list[{element}]"
    return _SCALARS.get(entry["type"])
