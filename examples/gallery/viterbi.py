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
"""Viterbi decoding of a linear-chain conditional random field: the best path, and its score.

The algorithm of A. J. Viterbi (1967), as in J. Lafferty et al., "Conditional random fields" (2001).
`logits` are float32 of shape [batch, time, tags], `transitions` float32 of shape [tags, tags], from
the first to the second, and `lengths` int32 of shape [batch]. The path is int32 of shape [batch,
time], with zeros after each sequence's end, and the score float32 of shape [batch]. Of equally good
tags the first is taken. A length that is out of range counts as the nearest one.

The way there only keeps the best scores, of 16 tags side by side in a vector: an addition and a
comparison for each transition. Where a score comes from is found on the way back, for the tags of
the path only, by computing the sums again. Sequences run in parallel.

>>> import tensorflow as tf
>>> logits = tf.constant([[[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]]])
>>> path, score = viterbi(logits, tf.zeros([2, 2]), tf.constant([3]))
>>> path.numpy(), score.numpy()
(array([[0, 1, 0]], dtype=int32), array([6.], dtype=float32))
"""

import functools

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES = 16


def viterbi(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best path of tags, and its score."""
    return _module()["decode"](logits, transitions, lengths)


@functools.cache
def _module() -> tftvm.Module:
    return tftvm.build(_decode, name="decode")


def _best(best, into, s, i, v, lane):
    """Return the best of four ways to a tag: less waiting than for one after the other."""
    ways = [best[s, 4 * i + k] + into[v, 4 * i + k, lane] for k in range(4)]
    return functools.reduce(T.max, ways)


@T.prim_func(s_tir=True)
def _decode(
    logits_handle: T.handle,
    transitions_handle: T.handle,
    lengths_handle: T.handle,
    path_handle: T.handle,
    score_handle: T.handle,
):
    n, t, k = T.int32(), T.int32(), T.int32()
    logits = T.match_buffer(logits_handle, (n, t, k), "float32")
    transitions = T.match_buffer(transitions_handle, (k, k), "float32")
    lengths = T.match_buffer(lengths_handle, (n,), "int32")
    path = T.match_buffer(path_handle, (n, t), "int32")
    score = T.match_buffer(score_handle, (n,), "float32")
    vectors: T.let = (k + LANES - 1) // LANES
    last: T.let = T.max(k - 1, 0)
    # Whole vectors of transitions to all tags, and from all tags.
    into = T.alloc_buffer((vectors, vectors * LANES, LANES), "float32")
    out_of = T.alloc_buffer((vectors * LANES, vectors * LANES), "float32")
    for i, j in T.grid(vectors * LANES, vectors * LANES):
        out_of[j, i] = T.if_then_else(
            T.And(i < k, j < k), transitions[i, j], T.float32(float("-inf"))
        )
        into[j // LANES, i, j % LANES] = out_of[j, i]
    for b in T.parallel(n):
        length: T.let = T.max(T.min(lengths[b], t), 0)
        best = T.alloc_buffer((t, vectors * LANES), "float32")
        reached = T.alloc_buffer((t, vectors * LANES), "float32")
        most = T.alloc_buffer((LANES,), "float32")
        place = T.alloc_buffer((LANES,), "int32")
        tag = T.alloc_buffer((1,), "int32")
        for s in range(length):
            for i in range(k):
                best[s, i] = logits[b, s, i]
            for i in range(vectors * LANES - k):
                best[s, k + i] = T.float32(float("-inf"))
            if s > 0:
                for v in range(vectors):
                    for lane in T.vectorized(LANES):
                        most[lane] = T.float32(float("-inf"))
                    for i in range(vectors * LANES // 4):
                        for lane in T.vectorized(LANES):
                            most[lane] = T.max(most[lane], _best(best, into, s - 1, i, v, lane))
                    for lane in T.vectorized(LANES):
                        reached[s, v * LANES + lane] = most[lane]
                        best[s, v * LANES + lane] = best[s, v * LANES + lane] + most[lane]
        # The best end, and from there back to where each score comes from.
        score[b] = T.if_then_else(length > 0, T.float32(float("-inf")), T.float32(0))
        tag[0] = 0
        for i in range(T.if_then_else(length > 0, k, 0)):
            if best[length - 1, i] > score[b]:
                score[b] = best[length - 1, i]
                tag[0] = i
        for s in range(length):
            path[b, length - 1 - s] = tag[0]
            if s < length - 1:
                for lane in T.vectorized(LANES):
                    place[lane] = last
                for v in range(vectors):
                    for lane in T.vectorized(LANES):
                        i: T.let = v * LANES + lane
                        total: T.let = best[length - 2 - s, i] + out_of[tag[0], i]
                        place[lane] = T.min(
                            place[lane],
                            T.Select(total == reached[length - 1 - s, tag[0]], i, last),
                        )
                tag[0] = T.call_llvm_pure_intrin(
                    "int32", "llvm.vector.reduce.smin", place[T.Ramp(0, 1, LANES)]
                )
        for s in range(t - length):
            path[b, length + s] = 0
