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
"""Which tensors of a graph share memory by TensorFlow's own doing."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# What an output is made of: ("input", i), or (operation, index of its output). None: not known.
Origin = tuple[Any, int]

# TensorFlow's ops that return memory of their first input, or at index i of input i.
_SHARING = frozenset(
    "Bitcast CheckNumerics EnsureShape ExpandDims Identity PlaceholderWithDefault PreventGradient "
    "Reshape Slice Snapshot Squeeze StopGradient StridedSlice".split()
)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_CONSTANT = ("Const", "Placeholder", "ReadVariableOp", "VarHandleOp")


def origins(concrete: tf.types.experimental.ConcreteFunction) -> list[Origin | None]:
    """Return the origin of each output of a function: what it has its memory from."""
    graph = concrete.graph
    functions = {f.signature.name: f for f in graph.as_graph_def().library.function}
    own = len(graph.inputs) - len(concrete.captured_inputs)
    inputs = {tensor.op.name: i for i, tensor in enumerate(graph.inputs[:own])}
    return [_origin(tensor, inputs, functions) for tensor in graph.outputs]


def is_constant(origin: Origin | None) -> bool:
    """Whether all calls may return the same memory: a constant's or a variable's."""
    return origin is not None and getattr(origin[0], "type", "") in _CONSTANT


def _origin(tensor: tf.Tensor, inputs: dict[str, int], functions: dict[str, Any]) -> Origin:
    while True:
        op, index = tensor.op, tensor.value_index
        if op.name in inputs:
            return "input", inputs[op.name]
        if op.type == "IdentityN":
            tensor = op.inputs[index]
        elif op.type in _SHARING:
            tensor = op.inputs[0]
        elif op.type in _CALLS:
            # The function's input that this output is, if it is one.
            called = functions.get(op.get_attr("f").name)
            argument = None if called is None else _argument(called, index)
            if argument is None:
                return op, index
            tensor = op.inputs[argument]
        else:
            return op, index


def _argument(function: Any, index: int) -> int | None:
    """Return the index of the argument that a FunctionDef's output shares memory with."""
    arguments = [argument.name for argument in function.signature.input_arg]
    nodes = {node.name: node for node in function.node_def}
    name = function.ret[function.signature.output_arg[index].name]
    while name not in arguments:
        node_name, _, rest = name.partition(":")
        node = nodes.get(node_name)
        if node is None:
            return None
        if node.op == "IdentityN":
            name = node.input[int(rest.rpartition(":")[2])]
        elif node.op in _SHARING:
            name = node.input[0]
        else:
            return None
    return arguments.index(name)
