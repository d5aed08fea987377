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
"""What a Keras layer says of a weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tensorflow_tvm import layer_shapes


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight of a `TVMLayer`.

    Attributes
    ----------
    name : str
        Its name: that of the function's input that it is, where those have names.
    shape : optional
        Integers, and symbols of the function's signature or expressions of those: ``["d", 32]`` or
        ``"d 32"``; or a function that returns integers, given the shape of the layer's input, or
        what the layer is called with, with shapes in place of tensors. By default what the
        signature says.
    initializer, regularizer, constraint : optional
        As `keras.layers.Layer.add_weight` takes them.
    trainable : bool, optional
        Whether it is trained.
    dtype : str, optional
        What it is kept in. By default the layer's variable dtype, or the signature's where that is
        not of floating point.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> tftvm.layers.Weight("w", ["d", 32], "he_normal").shape
    ['d', 32]
    """

    name: str
    shape: Any = None
    initializer: Any = None
    regularizer: Any = None
    constraint: Any = None
    trainable: bool = True
    dtype: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"Expected the name of a weight as a string, given {self.name!r}.")
        if not callable(self.shape):
            layer_shapes.parse_weight_shape(self.shape, f"Weight '{self.name}'")
        try:
            tf.as_dtype(self.dtype or "float32")
        except TypeError:
            raise TypeError(
                f"Weight '{self.name}': dtype must be a dtype, such as 'float32', given "
                f"{self.dtype!r}."
            ) from None

    def get_config(self, shape: Sequence[int] | None) -> dict[str, Any]:
        """Return its attributes as values that JSON can hold.

        Parameters
        ----------
        shape : sequence of int, optional
            Its shape, where that is known.

        Raises
        ------
        ValueError
            If its shape is a function that Keras cannot store, and `shape` is None.
        """
        said = self.shape
        if callable(said):
            if keras.saving.get_registered_object(keras.saving.get_registered_name(said)) is said:
                said = keras.saving.serialize_keras_object(said)
            elif shape is not None:
                said = list(shape)
            else:
                raise ValueError(
                    f"The shape of weight '{self.name}' is a Python function, which cannot be "
                    "stored before the layer is built. Register it by "
                    "keras.saving.register_keras_serializable, or give symbols: ['d', 32]."
                )
        elif said is not None and not isinstance(said, str):
            said = list(said)
        parts = {}
        for kind in ("initializer", "regularizer", "constraint"):
            of_keras = getattr(keras, f"{kind}s")
            value = of_keras.get(getattr(self, kind))
            parts[kind] = None if value is None else of_keras.serialize(value)
        dtype = None if self.dtype is None else tf.as_dtype(self.dtype).name
        return {
            "name": self.name,
            "shape": said,
            **parts,
            "trainable": self.trainable,
            "dtype": dtype,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Weight:
        """Make a weight of what `get_config` returned."""
        if not isinstance(config, Mapping) or "name" not in config:
            raise ValueError(
                "Expected a weight's config, as Weight.get_config returns it, given "
                f"{sorted(config) if isinstance(config, Mapping) else type(config).__name__}."
            )
        config = dict(config)
        if isinstance(config.get("shape"), Mapping):
            config["shape"] = keras.saving.deserialize_keras_object(config["shape"])
        return cls(**config)
