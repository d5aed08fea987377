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
"""Viterbi decoding of a conditional random field, as tfa.text.crf_decode does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.viterbi import viterbi

BATCH, TIME, TAGS = 32, 128, 32


def make_inputs(random: np.random.Generator) -> list[np.ndarray]:
    return [
        random.standard_normal((BATCH, TIME, TAGS), np.float32),
        random.standard_normal((TAGS, TAGS), np.float32),
        np.full(BATCH, TIME, np.int32),
    ]


def _argmax(x: tf.Tensor) -> tf.Tensor:
    return tf.argmax(x, -1, tf.int32)


def _finish(best: tf.Tensor, tags: Sequence[tf.Tensor], lengths: tf.Tensor) -> list[tf.Tensor]:
    path = tf.stack(tags, 1) * tf.sequence_mask(lengths, TIME, tf.int32)
    return [path, tf.reduce_max(best, 1)]


def back_pointers(logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor) -> list[tf.Tensor]:
    """Unrolled; where each score comes from is kept on the way there."""
    to_from = tf.transpose(transitions)
    steps = tf.unstack(logits, axis=1)
    best, pointers = steps[0], []
    same = tf.range(TAGS)
    for s in range(1, TIME):
        totals = best[:, None, :] + to_from
        goes_on = (s < lengths)[:, None]
        pointers.append(tf.where(goes_on, _argmax(totals), same))
        best = tf.where(goes_on, tf.reduce_max(totals, 2) + steps[s], best)
    tags = [_argmax(best)]
    for pointer in reversed(pointers):
        tags.append(tf.gather(pointer, tags[-1], batch_dims=1))
    return _finish(best, tags[::-1], lengths)


def scores_only(logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor) -> list[tf.Tensor]:
    """Unrolled; where scores come from is found on the way back, for the path only."""
    to_from = tf.transpose(transitions)
    steps = tf.unstack(logits, axis=1)
    all_best = [steps[0]]
    for s in range(1, TIME):
        best = tf.reduce_max(all_best[-1][:, None, :] + to_from, 2) + steps[s]
        all_best.append(tf.where((s < lengths)[:, None], best, all_best[-1]))
    tags = [_argmax(all_best[-1])]
    for s in range(TIME - 1, 0, -1):
        before = _argmax(all_best[s - 1] + tf.gather(to_from, tags[-1]))
        tags.append(tf.where(s < lengths, before, tags[-1]))
    return _finish(all_best[-1], tags[::-1], lengths)


def loops(logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor) -> list[tf.Tensor]:
    """As `scores_only`, in loops."""
    to_from = tf.transpose(transitions)
    steps = tf.transpose(logits, [1, 0, 2])

    def forward(s: tf.Tensor, best: tf.Tensor, array: tf.TensorArray) -> tuple:
        new = tf.reduce_max(best[:, None, :] + to_from, 2) + steps[s]
        best = tf.where((s < lengths)[:, None], new, best)
        return s + 1, best, array.write(s, best)

    def backward(s: tf.Tensor, tag: tf.Tensor, array: tf.TensorArray) -> tuple:
        before = _argmax(all_best[s - 1] + tf.gather(to_from, tag))
        tag = tf.where(s < lengths, before, tag)
        return s - 1, tag, array.write(s - 1, tag)

    array = tf.TensorArray(tf.float32, TIME, element_shape=[BATCH, TAGS]).write(0, steps[0])
    _, best, array = tf.while_loop(
        lambda s, *_: s < TIME, forward, (1, steps[0], array), maximum_iterations=TIME
    )
    all_best = array.stack()
    tag = _argmax(best)
    array = tf.TensorArray(tf.int32, TIME, element_shape=[BATCH]).write(TIME - 1, tag)
    _, _, array = tf.while_loop(
        lambda s, *_: s > 0, backward, (TIME - 1, tag, array), maximum_iterations=TIME
    )
    return _finish(best, tf.unstack(array.stack()), lengths)


workload = Workload(
    name="viterbi",
    title="CRF Viterbi decoding, 32×128×32",
    make_inputs=make_inputs,
    ours=viterbi,
    rivals={
        "unrolled, with back pointers": back_pointers,
        "unrolled, scores only": scores_only,
        "loops, scores only": loops,
    },
    # An addition and a comparison for each transition.
    flops=2 * BATCH * (TIME - 1) * TAGS**2,
    bytes=4 * (BATCH * TIME * TAGS + TAGS**2 + BATCH + BATCH * TIME + BATCH),
)
