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
"""What SavedModels on disk have of TVM, without loading it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tensorflow_tvm import stored_json

OPS = ("TVM>DSOOp", "TVM>StatefulDSOOp")
_ELF = b"\x7fELF"


def nodes(folder: str) -> Iterator[Any]:
    """Return the nodes of a SavedModel's graphs and functions.

    Raises
    ------
    ValueError
        If it is not a SavedModel.
    """
    path = tf.io.gfile.join(folder, "saved_model.pb")
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            saved = SavedModel.FromString(file.read())
    except Exception as error:  # of the file's system, and of protobuf, which has a name for each
        reason = getattr(error, "message", None) or str(error)
        raise ValueError(f"{folder} is not a SavedModel: {reason}") from None
    for graph in saved.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def library_in(node: Any) -> bytes | None:
    """Return the library that a node holds; None if it holds none."""
    if node.op != "Const" or node.attr["dtype"].type != tf.uint8.as_datatype_enum:
        return None
    content = tf.make_ndarray(node.attr["value"].tensor).tobytes()
    return content if content.startswith(_ELF) else None


def _called(callee: bytes) -> Iterator[tuple[str, str, str]]:
    """Return digest and name of the library, and the function, that an op and its gradients call.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    callees = [stored_json.parse(callee)]
    while callees:
        entry = callees.pop()
        yield (
            stored_json.as_text(entry.get("digest"), "digest"),
            stored_json.as_text(entry.get("library_name", "library"), "library_name"),
            stored_json.as_text(entry.get("function"), "function"),
        )
        if (gradient := entry.get("gradient")) is not None:
            gradient = stored_json.as_object(gradient, "gradient")
            callees.append(stored_json.as_object(gradient.get("callee"), "the gradient's callee"))


def libraries(folder: str) -> list[dict[str, Any]]:
    """Return the libraries that a SavedModel's ops call, sorted by name.

    Returns
    -------
    list of dict
        ``library``: its name; ``digest``; ``functions``: those that are called, sorted; ``bytes``:
        its size, None if the model does not hold it.

    Raises
    ------
    ValueError
        If it is not a SavedModel.
    """
    found: dict[str, dict[str, Any]] = {}
    sizes = {}
    for node in nodes(folder):
        if node.op in OPS:
            try:
                for digest, name, function in _called(node.attr["callee"].s):
                    said = found.setdefault(digest, {"library": name, "functions": set()})
                    said["functions"].add(function)
            except ValueError as error:
                raise ValueError(
                    f"{folder}: attribute 'callee' of node '{node.name}' cannot be read: {error}."
                ) from None
        elif (content := library_in(node)) is not None:
            sizes[f"sha256:{hashlib.sha256(content).hexdigest()}"] = len(content)
    return sorted(
        (
            {
                "library": said["library"],
                "digest": digest,
                "bytes": sizes.get(digest),
                "functions": sorted(said["functions"]),
            }
            for digest, said in found.items()
        ),
        key=lambda row: (row["library"], row["digest"]),
    )
