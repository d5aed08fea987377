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
"""A first-order linear recurrence along rows, y[b, t] = a[b, t] * y[b, t - 1] + x[b, t].

Recursive filters, discounted returns, exponential averages and the states of linear recurrent
networks are such recurrences. `a` and `x` are float32 of shape [rows, time], the state before the
first step is 0, and with `reverse` time runs backwards: y[b, t] = a[b, t] * y[b, t + 1] + x[b, t].

Each row is read and written once. A vector of 16 steps is scanned in four rounds, in each of which
every step takes up that of 1, 2, 4 and 8 before (W. D. Hillis and G. L. Steele, "Data parallel
algorithms", 1986). Rows run in parallel. The scan multiplies up to 16 neighbours in `a`, and these
products must not overflow. The gradient is the recurrence that runs the other way.

Generalised advantage estimation (J. Schulman et al., 2016), where `done` ends an episode:

>>> import tensorflow as tf
>>> reward, done = tf.constant([[1.0, 1.0, 1.0]]), tf.constant([[0.0, 1.0, 0.0]])
>>> value, next_value = tf.zeros([1, 3]), tf.zeros([1, 3])
>>> discount, smoothing = 0.5, 1.0
>>> delta = reward + discount * next_value * (1.0 - done) - value
>>> recurrence(discount * smoothing * (1.0 - done), delta, reverse=True).numpy()
array([[1.5, 1. , 1. ]], dtype=float32)
"""

import functools

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES = 16


def recurrence(a: tf.Tensor, x: tf.Tensor, reverse: bool = False) -> tf.Tensor:
    """Return y, where y[b, t] = a[b, t] * y[b, t - 1] + x[b, t]."""
    return _module()["backward" if reverse else "forward"](a, x)


@functools.cache
def _module() -> tftvm.Module:
    functions = {"forward": _scan(1), "backward": _scan(-1)}
    functions |= {"forward_grad": _scan_grad(1), "backward_grad": _scan_grad(-1)}
    takes = ["args.0", "rets", "grads"]
    gradient = {name: tftvm.Gradient(f"{name}_grad", takes) for name in ("forward", "backward")}
    return tftvm.build(functions, gradient=gradient)


def _at(k, t, way):
    """Return the place of the k-th step."""
    return k if way > 0 else t - 1 - k


def _vector(start):
    return T.Ramp(start, 1, LANES)


def _shift(v, by, fill):
    """Move the lanes of `v` by some places, those of negative numbers to the left."""
    return T.Shuffle([v, fill], [i - by if 0 <= i - by < LANES else LANES for i in range(LANES)])


def _hillis_steele(a, x, way):
    """Return y, as if the state before were 0, and the products of `a`."""
    for by in (way, 2 * way, 4 * way, 8 * way):
        x = x + a * _shift(x, by, T.Broadcast(T.float32(0), LANES))
        a = a * _shift(a, by, T.Broadcast(T.float32(1), LANES))
    return x, a


def _last(v, way):
    return T.Shuffle([v], [LANES - 1 if way > 0 else 0] * LANES)


def _scan(way):
    @T.prim_func(s_tir=True)
    def scan(a_handle: T.handle, x_handle: T.handle, y_handle: T.handle):
        n, t = T.int32(), T.int32()
        a = T.match_buffer(a_handle, (n, t), "float32")
        x = T.match_buffer(x_handle, (n, t), "float32")
        y = T.match_buffer(y_handle, (n, t), "float32")
        for i in T.parallel(n):
            state = T.alloc_buffer((LANES,), "float32")
            for lane in T.vectorized(LANES):
                state[lane] = T.float32(0)
            for j in range(t // LANES):
                start: T.let = T.min(_at(j * LANES, t, way), _at(j * LANES + LANES - 1, t, way))
                a_vector: T.let = a[i, _vector(start)]
                x_vector: T.let = x[i, _vector(start)]
                local: T.let = _hillis_steele(a_vector, x_vector, way)[0]
                product: T.let = _hillis_steele(a_vector, x_vector, way)[1]
                y[i, _vector(start)] = local + product * state[_vector(0)]
                # Not the last of y: this way one step waits for the one before only shortly.
                state[_vector(0)] = _last(local, way) + _last(product, way) * state[_vector(0)]
            for j in range(t % LANES):
                k: T.let = _at(t // LANES * LANES + j, t, way)
                state[0] = a[i, k] * state[0] + x[i, k]
                y[i, k] = state[0]

    return scan


def _scan_grad(way):
    @T.prim_func(s_tir=True)
    def scan_grad(
        a_handle: T.handle,
        y_handle: T.handle,
        dy_handle: T.handle,
        da_handle: T.handle,
        dx_handle: T.handle,
    ):
        n, t = T.int32(), T.int32()
        a = T.match_buffer(a_handle, (n, t), "float32")
        y = T.match_buffer(y_handle, (n, t), "float32")
        dy = T.match_buffer(dy_handle, (n, t), "float32")
        da = T.match_buffer(da_handle, (n, t), "float32")
        dx = T.match_buffer(dx_handle, (n, t), "float32")
        for i in T.parallel(n):
            state = T.alloc_buffer((LANES,), "float32")
            vectors: T.let = T.max(t - 1, 0) // LANES  # and then the rest, of one step at least
            for j in range(t - vectors * LANES):
                k: T.let = _at(t - 1 - j, t, way)
                if j == 0:
                    state[0] = dy[i, k]
                else:
                    da[i, k + way] = state[0] * y[i, k]
                    state[0] = dy[i, k] + a[i, k + way] * state[0]
                dx[i, k] = state[0]
            for lane in T.vectorized(1, LANES):
                state[lane] = state[0]
            for j in range(vectors):
                k: T.let = (vectors - 1 - j) * LANES
                start: T.let = T.min(_at(k, t, way), _at(k + LANES - 1, t, way))
                a_vector: T.let = a[i, _vector(start + way)]
                dy_vector: T.let = dy[i, _vector(start)]
                local: T.let = _hillis_steele(a_vector, dy_vector, -way)[0]
                product: T.let = _hillis_steele(a_vector, dy_vector, -way)[1]
                sums: T.let = local + product * state[_vector(0)]
                dx[i, _vector(start)] = sums
                da[i, _vector(start + way)] = (
                    _shift(sums, -way, state[_vector(0)]) * y[i, _vector(start)]
                )
                state[_vector(0)] = _last(local, -way) + _last(product, -way) * state[_vector(0)]
            if t > 0:
                da[i, _at(0, t, way)] = T.float32(0)

    return scan_grad
