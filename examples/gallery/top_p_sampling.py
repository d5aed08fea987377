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
"""Nucleus sampling: a token of the most probable ones that together have probability p.

    logits: float32[b, v], uniform: float32[b], p: float32[], temperature: float32[] -> int32[b]

With the tokens in the order of their probability, those of equal probability in order, the nucleus
is the shortest beginning whose probabilities add up to p at least: A. Holtzman et al., "The Curious
Case of Neural Text Degeneration" (2020). The token is where the running sum reaches `uniform`, from
0 to 1, times the nucleus's sum. Nothing is sorted: a search for the weight at which the sum of all
that are not less reaches a target finds it one bit after the other, as in a radix select. Each of
the 30 steps reads the row once, with 64 lanes; rows are done in parallel.

>>> top_p_sampling([[0.0, 2.0, 1.0], [0.0, 2.0, 1.0]], [0.1, 0.9], p=0.9).numpy()
array([1, 2], dtype=int32)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from examples.gallery.exponential import exp

LANES = 64


@T.inline
def _mass(weights, size, bound, lanes, mass):
    """Add up the weights that are not less than a bound."""
    for v in T.vectorized(LANES):
        lanes[v] = 0.0
    for i in range(size // LANES):
        for v in T.vectorized(LANES):
            weight: T.let = weights[i * LANES + v]
            lanes[v] += T.Select(weight >= bound, weight, T.float32(0))
    mass = 0.0
    for v in range(LANES):
        mass += lanes[v]


@T.inline
def _search(weights, size, target, lanes, mass, bits):
    """Find the bits of the greatest weight such that all that are not less add up to a target."""
    bits = 0
    for step in range(30):
        bits = bits | (T.int32(1) << (29 - step))
        _mass(weights, size, T.reinterpret("float32", bits), lanes, mass)
        if not (mass >= target):
            bits = bits ^ (T.int32(1) << (29 - step))


@T.prim_func(s_tir=True)
def _kernel(
    logits: T.Buffer(("batch", "size"), "float32"),
    uniform: T.Buffer(("batch",), "float32"),
    p: T.Buffer((), "float32"),
    temperature: T.Buffer((), "float32"),
    tokens: T.Buffer(("batch",), "int32"),
):
    T.func_attr({"tirx.noalias": True})
    batch, size = T.int32(), T.int32()
    padded: T.let = (size + LANES - 1) // LANES * LANES
    for b in T.parallel(batch):
        weights = T.alloc_buffer((padded,), "float32")
        lanes = T.alloc_buffer((LANES,), "float32")
        total = T.alloc_scalar("float32")
        mass = T.alloc_scalar("float32")
        target = T.alloc_scalar("float32")
        bits = T.alloc_scalar("int32")
        rank = T.alloc_scalar("int32")
        i = T.alloc_scalar("int32")
        for v in T.vectorized(LANES):
            lanes[v] = T.min_value("float32")
        for j in range(size // LANES):
            for v in T.vectorized(LANES):
                lanes[v] = T.max(lanes[v], logits[b, j * LANES + v])
        for j in range(size % LANES):
            lanes[0] = T.max(lanes[0], logits[b, size - 1 - j])
        for v in range(LANES):
            lanes[0] = T.max(lanes[0], lanes[v])
        for j in range(size):
            x: T.let = (logits[b, j] - lanes[0]) / temperature[()]
            weights[j] = T.Select(x < T.float32(-87), T.float32(0), exp(x))
        for j in range(padded - size):
            weights[size + j] = 0.0
        _mass(weights, padded, T.float32(0), lanes, total)
        # The nucleus: all that are more probable than its last, and as many of those as it needs.
        target = T.min(T.max(p[()] * total, T.float32(1e-30)), total)
        _search(weights, padded, target, lanes, mass, bits)
        last: T.let = T.reinterpret("float32", bits)
        _mass(weights, padded, T.reinterpret("float32", bits + 1), lanes, mass)
        mass += T.max(T.ceil((target - mass) / last), T.float32(1)) * last
        target = T.min(T.max(uniform[b] * mass, T.float32(1e-30)), total)
        _search(weights, padded, target, lanes, mass, bits)
        _mass(weights, padded, T.reinterpret("float32", bits + 1), lanes, mass)
        weight: T.let = T.reinterpret("float32", bits)
        rank = T.Cast("int32", T.max(T.ceil((target - mass) / weight), T.float32(1)))
        tokens[b] = 0
        i = 0
        while i < size and rank > 0:
            if weights[i] == weight:
                tokens[b] = i
                rank -= 1
            i += 1


@functools.cache
def _compiled() -> tftvm.Function:
    return tftvm.build(_kernel, name="top_p_sampling")["top_p_sampling"]


def top_p_sampling(logits: Any, uniform: Any, p: Any = 0.9, temperature: Any = 1.0) -> tf.Tensor:
    """Sample a token of each row's nucleus.

    Parameters
    ----------
    logits : float32 tensor of shape [b, v]
        Not all of a row are minus infinity.
    uniform : float32 tensor of shape [b]
        Random numbers from 0 to 1, as `tf.random.uniform` makes them.
    p : float or float32 tensor
        What the probabilities of a nucleus add up to at least.
    temperature : float or float32 tensor
        What the logits are divided by, greater than 0.

    Returns
    -------
    tf.Tensor
        int32, of shape [b].
    """
    return _compiled()(logits, uniform, p, temperature)
