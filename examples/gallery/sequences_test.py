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
"""The gallery's functions on sequences, against plain loops."""

from __future__ import annotations

import doctest
import functools
import importlib

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from examples.gallery.edit_distance import edit_distance
from examples.gallery.recurrence import recurrence
from examples.gallery.soft_dtw import soft_dtw
from examples.gallery.viterbi import viterbi

NAMES = ["recurrence", "viterbi", "soft_dtw", "edit_distance"]


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", NAMES)
def test_example(name):
    module = importlib.import_module(f"examples.gallery.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed


def _normal(random, *shape):
    return random.standard_normal(shape, np.float32)


# y[b, t] = a[b, t] * y[b, t - 1] + x[b, t]


def _recurrence(a, x, reverse=False):
    a, x = tf.convert_to_tensor(a), tf.convert_to_tensor(x)
    if reverse:
        return tf.reverse(_recurrence(tf.reverse(a, [1]), tf.reverse(x, [1])), [1])
    y, steps = tf.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        y = a[:, t] * y + x[:, t]
        steps.append(y)
    return tf.stack(steps, 1)


@pytest.mark.parametrize("reverse", [False, True])
def test_recurrence_is_an_op(random, reverse):
    a, x = _normal(random, 2, 19), _normal(random, 2, 19)
    tftvm.testing.check_op(
        recurrence,
        [a, x],
        attrs={"reverse": reverse},
        reference=functools.partial(_recurrence, reverse=reverse),
        rtol=1e-4,
        atol=1e-5,
        gradients=True,
        misaligned=True,
        skip=["new_process"] if reverse else [],
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 15), (2, 16), (1, 17), (3, 48), (5, 161)])
def test_recurrence(random, shape, reverse):
    a, x, dy = (tf.constant(_normal(random, *shape)) for _ in range(3))
    a = tf.clip_by_value(a, -1.0, 1.0)
    results = []
    for function in (recurrence, _recurrence):
        with tf.GradientTape() as tape:
            tape.watch([a, x])
            y = function(a, x, reverse=reverse)
        results.append([y, *tape.gradient(y, [a, x], dy)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_recurrence_of_nothing(shape):
    nothing = tf.zeros(shape)
    with tf.GradientTape() as tape:
        tape.watch(nothing)
        y = recurrence(nothing, nothing)
    assert y.shape == shape
    assert tape.gradient(y, nothing).shape == shape


def test_recurrence_of_not_a_number():
    x = np.ones((2, 40), np.float32)
    x[0, 20] = np.nan
    y = recurrence(np.full((2, 40), 0.5, np.float32), x).numpy()
    assert np.isnan(y[0, 20:]).all()
    assert np.isfinite(y[0, :20]).all()
    assert np.isfinite(y[1]).all()


# Viterbi decoding


def _viterbi(logits, transitions, lengths):
    batch, time, tags = logits.shape
    path, score = np.zeros((batch, time), np.int32), np.zeros(batch, np.float32)
    for b, length in enumerate(np.clip(lengths, 0, time)):
        if length == 0:
            continue
        best, pointers = logits[b, 0], []
        for s in range(1, length):
            totals = best[:, None] + transitions
            pointers.append(totals.argmax(0))
            best = totals.max(0) + logits[b, s]
        tag, score[b] = best.argmax(), best.max()
        for s in range(length - 1, -1, -1):
            path[b, s] = tag
            tag = pointers[s - 1][tag] if s else 0
    return path, score


def test_viterbi_is_an_op(random):
    logits, transitions = _normal(random, 4, 5, 3), _normal(random, 3, 3)
    lengths = np.array([5, 3, 1, 0], np.int32)
    tftvm.testing.check_op(
        viterbi,
        [logits, transitions, lengths],
        reference=_viterbi,
        gradients=False,
        misaligned=True,
        skip=["new_process"],
    )


@pytest.mark.parametrize("has_ties", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 2), (2, 9, 16), (4, 6, 17), (5, 11, 40)])
def test_viterbi(random, shape, has_ties):
    logits, transitions = _normal(random, *shape), _normal(random, shape[2], shape[2])
    if has_ties:
        logits, transitions = np.round(logits), np.round(transitions)
    lengths = random.integers(-1, shape[1] + 2, shape[0]).astype(np.int32)
    path, score = viterbi(logits, transitions, lengths)
    expected_path, expected_score = _viterbi(logits, transitions, lengths)
    np.testing.assert_array_equal(path, expected_path)
    np.testing.assert_allclose(score, expected_score, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_viterbi_of_nothing(shape):
    tags = shape[2]
    path, score = viterbi(tf.zeros(shape), tf.zeros([tags, tags]), tf.fill([shape[0]], 3))
    np.testing.assert_array_equal(path, np.zeros(shape[:2]))
    assert score.shape == shape[:1]


def test_viterbi_where_transitions_are_forbidden(random):
    logits, transitions = _normal(random, 3, 8, 5), _normal(random, 5, 5)
    transitions[random.random((5, 5)) < 0.5] = -np.inf
    transitions[3] = -np.inf
    lengths = np.full(3, 8, np.int32)
    path, score = viterbi(logits, transitions, lengths)
    expected_path, expected_score = _viterbi(logits, transitions, lengths)
    np.testing.assert_array_equal(path, expected_path)
    np.testing.assert_allclose(score, expected_score, rtol=1e-5)


def test_viterbi_of_not_a_number_stays_within_the_tags():
    path, _ = viterbi(tf.fill([2, 20, 3], np.nan), tf.zeros([3, 3]), tf.constant([20, 7]))
    assert np.all((path.numpy() >= 0) & (path.numpy() < 3))


# Soft-DTW


def _soft_dtw(cost, gamma=1.0):
    cost = tf.cast(cost, tf.float64)
    batch, n, m = cost.shape
    infinite = tf.fill([batch], tf.constant(1e30, tf.float64))
    values = {(-1, -1): tf.zeros([batch], tf.float64)}
    for i in range(n):
        for j in range(m):
            before = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
            before = tf.stack([values.get(cell, infinite) for cell in before])
            least = -gamma * tf.reduce_logsumexp(-before / gamma, 0)
            values[i, j] = cost[:, i, j] + least
    return tf.cast(values[n - 1, m - 1], tf.float32)


def test_soft_dtw_is_an_op(random):
    cost = _normal(random, 2, 4, 3) ** 2
    tftvm.testing.check_op(
        soft_dtw,
        [cost],
        attrs={"gamma": 0.5},
        reference=functools.partial(_soft_dtw, gamma=0.5),
        rtol=1e-5,
        atol=1e-5,
        gradients=True,
        misaligned=True,
        skip=["new_process"],
    )


@pytest.mark.parametrize("gamma", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 18), (2, 17, 1), (3, 16, 16), (2, 33, 20)])
def test_soft_dtw(random, shape, gamma):
    cost, weight = tf.constant(_normal(random, *shape) ** 2), _normal(random, shape[0])
    results = []
    for function in (soft_dtw, _soft_dtw):
        with tf.GradientTape() as tape:
            tape.watch(cost)
            value = function(cost, gamma=gamma)
        results.append([value, tape.gradient(value, cost, weight)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_soft_dtw_of_nothing():
    for shape, value in (((0, 3, 2), []), ((1, 0, 2), [np.inf]), ((1, 2, 0), [np.inf])):
        cost = tf.zeros(shape)
        with tf.GradientTape() as tape:
            tape.watch(cost)
            y = soft_dtw(cost)
        np.testing.assert_array_equal(y, value)
        assert tape.gradient(y, cost).shape == shape
    assert soft_dtw(tf.zeros([1, 0, 0])).numpy() == [0.0]


def test_soft_dtw_with_forbidden_cells(random):
    cost = _normal(random, 1, 20, 20) ** 2
    away = np.abs(np.subtract.outer(np.arange(20), np.arange(20))) > 2
    cost[:, away] = np.inf  # a band of Sakoe and Chiba
    cost[:, 0, 19] = np.nan
    expected = _soft_dtw(np.where(away, 1e20, cost))
    cost = tf.constant(cost)
    with tf.GradientTape() as tape:
        tape.watch(cost)
        value = soft_dtw(cost)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradient = tape.gradient(value, cost).numpy()
    assert np.all(gradient[:, away] == 0.0)
    np.testing.assert_allclose(gradient[:, 0, 0], 1.0, rtol=1e-5)  # all paths begin there


def test_soft_dtw_without_a_path():
    cost = tf.fill([1, 3, 3], np.inf)
    with tf.GradientTape() as tape:
        tape.watch(cost)
        value = soft_dtw(cost)
    assert value.numpy() == [np.inf]
    np.testing.assert_array_equal(tape.gradient(value, cost), np.zeros([1, 3, 3]))


# Edit distances


def _edit_distance(a, b, a_lengths, b_lengths):
    distances = []
    for x, y, n, m in zip(a, b, a_lengths, b_lengths, strict=True):
        x, y = x[: max(n, 0)], y[: max(m, 0)]
        row = list(range(len(y) + 1))
        for i, symbol in enumerate(x):
            above, row[0] = row[:], i + 1
            for j, other in enumerate(y):
                row[j + 1] = min(above[j] + (symbol != other), above[j + 1] + 1, row[j] + 1)
        distances.append(row[-1])
    return np.array(distances, np.int32)


def _sequences(random, batch, n, m):
    a = random.integers(-2, 3, (batch, n)).astype(np.int32)
    b = random.integers(-2, 3, (batch, m)).astype(np.int32)
    a_lengths = random.integers(-1, n + 2, batch).astype(np.int32)
    b_lengths = random.integers(-1, m + 2, batch).astype(np.int32)
    a_lengths[:1], b_lengths[:1] = n, m
    return a, b, a_lengths, b_lengths


def test_edit_distance_is_an_op(random):
    tftvm.testing.check_op(
        edit_distance,
        list(_sequences(random, 3, 6, 5)),
        reference=_edit_distance,
        misaligned=True,
        skip=["new_process"],
    )


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (17, 33, 20),
        (3, 32, 64),
        (33, 31, 95),
        (2, 70, 3),
        (2, 0, 3),
        (2, 3, 0),
        (0, 2, 2),
    ],
)
def test_edit_distance(random, sizes):
    inputs = _sequences(random, *sizes)
    np.testing.assert_array_equal(edit_distance(*inputs), _edit_distance(*inputs))


def test_edit_distance_is_that_of_tensorflow(random):
    a, b = random.integers(0, 4, (2, 20, 50)).astype(np.int32)
    lengths = np.full(20, 50, np.int32)
    sparse = [tf.sparse.from_dense(x + 1) for x in (a, b)]
    expected = tf.edit_distance(*sparse, normalize=False)
    np.testing.assert_array_equal(edit_distance(a, b, lengths, lengths), expected)
