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
"""Kernels of the gallery for pictures, sequences and tokens."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from examples.gallery.connected_components import connected_components
from examples.gallery.distance_transform import distance_transform
from examples.gallery.gated_depthwise_conv import gated_depthwise_conv
from examples.gallery.non_max_suppression import non_max_suppression
from examples.gallery.top_p_sampling import top_p_sampling

SIZES = [(0, 5), (5, 0), (1, 1), (3, 5), (40, 70), (70, 33), (65, 96)]


@pytest.mark.parametrize(
    "function",
    [
        connected_components,
        distance_transform,
        gated_depthwise_conv,
        non_max_suppression,
        top_p_sampling,
    ],
)
def test_the_example_gives_what_it_says(function):
    results = doctest.testmod(importlib.import_module(function.__module__))
    assert results.attempted > 0
    assert results.failed == 0


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def mask_of(shape, density):
    return np.random.default_rng(0).random(shape) < density


def distances(mask):
    """Compare each pixel with each of the background."""
    places = np.argwhere(~mask)
    squares = np.full(mask.shape, np.inf)
    for index in np.ndindex(*mask.shape):
        squares[index] = np.min(np.sum((places - index) ** 2.0, axis=1), initial=np.inf)
    return np.sqrt(squares)


@pytest.mark.parametrize("density", [0.0, 0.5, 0.9, 0.998, 1.0])
@pytest.mark.parametrize("shape", SIZES)
def test_distances_are_those_to_the_nearest_background(shape, density):
    mask = mask_of(shape, density)
    np.testing.assert_allclose(distance_transform(mask), distances(mask), rtol=1e-6)


def test_distances_across_a_wide_picture():
    mask = np.ones([3, 700], bool)
    mask[1, [5, 650]] = False
    np.testing.assert_allclose(distance_transform(mask), distances(mask), rtol=1e-6)


def test_distance_transform_is_an_op():
    mask = mask_of((6, 37), 0.9)
    tftvm.testing.check_op(distance_transform, [mask], reference=distances)


def components(mask, connectivity):
    """Fill one component after the other."""
    reach = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if connectivity == 8 or not i * j]
    labels, count = np.zeros(mask.shape, np.int32), 0
    for start in np.argwhere(mask):
        if labels[tuple(start)]:
            continue
        count += 1
        labels[tuple(start)] = count
        front = [tuple(start)]
        while front:
            i, j = front.pop()
            for near in ((i + di, j + dj) for di, dj in reach):
                inside = all(0 <= k < size for k, size in zip(near, mask.shape, strict=True))
                if inside and mask[near] and not labels[near]:
                    labels[near] = count
                    front.append(near)
    return labels, np.int32(count)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.0, 0.3, 0.5, 0.6, 1.0])
@pytest.mark.parametrize("shape", SIZES)
def test_components_are_numbered_in_order(shape, density, connectivity):
    mask = mask_of(shape, density)
    labels, count = connected_components(mask, connectivity)
    expected, number = components(mask, connectivity)
    np.testing.assert_array_equal(labels, expected)
    assert int(count) == number


def test_a_component_that_winds_through_many_strips():
    mask = np.zeros([131, 67], bool)
    mask[:, ::2] = True
    mask[0, 1::4] = mask[-1, 3::4] = True
    labels, count = connected_components(mask)
    assert int(count) == 1
    np.testing.assert_array_equal(labels, mask)


def test_connected_components_is_an_op():
    mask = mask_of((37, 6), 0.5)
    tftvm.testing.check_op(
        connected_components,
        [mask],
        reference=lambda mask: components(np.asarray(mask), 8),
        skip=["new_process"],
    )


def test_connectivity_is_4_or_8():
    with pytest.raises(ValueError, match="connectivity must be 4 or 8, given 6"):
        connected_components([[True]], connectivity=6)


def boxes_and_scores(n, seed=0):
    generator = np.random.default_rng(seed)
    corners = generator.random((n, 2))
    boxes = np.concatenate([corners, corners + 0.2 * generator.random((n, 2))], axis=1)
    scores = generator.normal(size=n).round(1)  # with ties
    if n > 6:
        boxes[1] = boxes[0]
        boxes[2] = boxes[2, [2, 3, 0, 1]]  # its other corner first
        boxes[3, 2:] = boxes[3, :2]  # of no area
        scores[3:7] = np.nan, -0.0, 0.0, np.inf
    return boxes.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("limit", [0, 1, 40, 2000])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 1000])
def test_boxes_are_those_of_tensorflow(n, limit):
    boxes, scores = boxes_and_scores(n, seed=n)
    for threshold in (0.0, 0.3, 0.5, 1.0):
        for least in (float("-inf"), 0.0):
            indices, count = non_max_suppression(boxes, scores, limit, threshold, least)
            expected = tf.image.non_max_suppression(boxes, scores, limit, threshold, least)
            assert indices.shape == [limit]
            assert int(count) == len(expected)
            np.testing.assert_array_equal(indices[: len(expected)], expected)
            np.testing.assert_array_equal(indices[len(expected) :], 0)


def test_non_max_suppression_is_an_op():
    def padded(boxes, scores):
        return tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes,
            scores=scores,
            max_output_size=20,
            iou_threshold=0.5,
            score_threshold=-1.0,
            pad_to_max_output_size=True,
        )

    boxes, scores = boxes_and_scores(50)
    tftvm.testing.check_op(
        lambda boxes, scores: non_max_suppression(boxes, scores, 20, 0.5, -1.0),
        [boxes, scores],
        reference=padded,
        skip=["new_process"],
    )


def test_the_number_of_boxes_may_be_a_tensor():
    boxes, scores = boxes_and_scores(50)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def chosen(limit):
        return non_max_suppression(boxes, scores, limit)

    np.testing.assert_array_equal(
        chosen(tf.constant(9))[0], tf.image.non_max_suppression(boxes, scores, 9)
    )


def gated(x, weight, bias, gate):
    taps = weight.shape[0]
    padded = tf.pad(x, [[0, 0], [taps - 1, 0], [0, 0]])
    total = bias + sum(padded[:, k : k + tf.shape(x)[1]] * weight[k] for k in range(taps))
    return tf.nn.silu(total) * tf.sigmoid(gate)


@pytest.mark.parametrize(
    ("b", "n", "d", "taps"),
    [
        (1, 70, 64, 4),
        (2, 33, 130, 3),
        (3, 2, 5, 4),
        (1, 1, 1, 1),
        (2, 40, 7, 40),
        (0, 3, 4, 2),
    ],
)
def test_convolutions_and_their_gradients_are_those_of_tensorflow(b, n, d, taps):
    shapes = [(b, n, d), (taps, d), (d,), (b, n, d)]
    inputs = [tf.constant(floats(*shape, seed=i)) for i, shape in enumerate(shapes)]
    results = []
    for function in (gated_depthwise_conv, gated):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            loss = tf.reduce_sum(y * tf.constant(floats(b, n, d, seed=9)))
        results.append([y, *tape.gradient(loss, inputs)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_convolutions_of_large_numbers():
    x = tf.constant([[[-200.0], [200.0], [0.0]]])
    args = [x, tf.constant([[1.0]]), tf.constant([0.0]), tf.constant([[[100.0], [-200.0], [0.0]]])]
    np.testing.assert_allclose(gated_depthwise_conv(*args), gated(*args), atol=1e-30)


@pytest.mark.parametrize("place", range(4))
def test_a_nan_is_passed_on(place):
    args = [np.ones(shape, np.float32) for shape in [(1, 3, 20), (2, 20), (20,), (1, 3, 20)]]
    args[place][..., 17] = np.nan
    np.testing.assert_array_equal(np.isnan(gated_depthwise_conv(*args)), np.isnan(gated(*args)))


def test_gated_depthwise_conv_is_an_op():
    inputs = [floats(2, 5, 3), floats(4, 3), floats(3), floats(2, 5, 3, seed=1)]
    tftvm.testing.check_op(
        gated_depthwise_conv, inputs, reference=gated, gradients=True, skip=["new_process"]
    )


def sampled(logits, uniform, p, temperature):
    """Sort, and add up."""
    tokens = []
    for row, number in zip(np.asarray(logits, np.float64), np.asarray(uniform), strict=True):
        weights = np.exp((row - row.max()) / temperature)
        order = np.argsort(-weights, kind="stable")
        sums = np.cumsum(weights[order])
        last = min(np.searchsorted(sums, p * sums[-1] * (1 - 1e-9)), len(row) - 1)
        tokens.append(order[min(np.searchsorted(sums, number * sums[last]), last)])
    return np.array(tokens, np.int32)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(
    ("b", "v"), [(0, 5), (1, 1), (3, 7), (5, 63), (4, 64), (4, 65), (16, 3000)]
)
def test_tokens_are_those_that_a_sort_finds(b, v, scale):
    logits = scale * floats(b, v)
    if v > 5:
        logits[:, 2] = -np.inf
        logits[:, 3] = logits[:, 4]
    uniform = np.random.default_rng(1).random(b, np.float32)
    for p in (0.0, 0.1, 0.9, 1.0):
        tokens = top_p_sampling(logits, uniform, p, temperature=0.7)
        np.testing.assert_array_equal(tokens, sampled(logits, uniform, p, 0.7))


def test_tokens_follow_their_probabilities():
    logits = np.log([[0.5, 0.0625, 0.3, 0.1375]]).astype(np.float32)
    uniform = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    tokens = top_p_sampling(np.repeat(logits, 1000, axis=0), uniform, p=0.75)
    np.testing.assert_array_equal(np.bincount(tokens, minlength=4), [625, 0, 375, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_token_is_in_range_where_no_probability_is_defined(value):
    tokens = top_p_sampling(np.full([2, 70], value, np.float32), [0.0, 1.0])
    assert np.all((tokens >= 0) & (tokens < 70))


def test_top_p_sampling_is_an_op():
    logits, uniform = 2 * floats(3, 70), np.array([0.1, 0.5, 0.9], np.float32)
    tftvm.testing.check_op(
        top_p_sampling,
        [logits, uniform],
        reference=lambda logits, uniform: sampled(logits, uniform, 0.9, 1.0),
        gradients=False,
        skip=["new_process", "zero_size"],
    )
