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
"""Functions that update an argument in place are refused, and those that only seem to are not."""

# No `from __future__ import annotations`: TVMScript reads annotations.

import numpy as np
import pytest
import tensorflow as tf
from tvm import s_tir, te
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

N = 6


@T.prim_func(s_tir=True)
def other_element(y: T.Buffer((N,), "float32"), x: T.Buffer((N,), "float32")):
    for i in range(N):
        y[i] = y[N - 1 - i] + x[i]


@T.prim_func(s_tir=True)
def by_a_temporary(y: T.Buffer((N,), "float32"), x: T.Buffer((N,), "float32")):
    for i in range(N):
        old: T.float32 = y[i]
        y[i] = old * T.float32(2) + x[i]


@T.prim_func(s_tir=True)
def sum_without_start(x: T.Buffer((N, 3), "float32"), y: T.Buffer((N,), "float32")):
    for i, k in T.grid(N, 3):
        with T.sblock("sum"):
            vi, vk = T.axis.remap("SR", [i, k])
            y[vi] = y[vi] + x[vi, vk]


@T.prim_func(s_tir=True)
def in_another_block(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("reads"):
            vi = T.axis.spatial(N, i)
            old = T.sblock_alloc_buffer((1,), "float32")
            old[0] = y[vi]
            for j in range(2):
                y[vi] = old[0] + x[vi] * T.Cast("float32", j)


@T.prim_func(s_tir=True)
def by_a_matched_view(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("view"):
            vi = T.axis.spatial(N, i)
            view = T.match_buffer(y[vi : vi + 1], (1,), "float32")
            view[0] = view[0] + x[vi]


@T.prim_func(s_tir=True)
def by_a_declared_view(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    view = T.decl_buffer((2, 3), "float32", data=y.data)
    for i, j in T.grid(2, 3):
        view[i, j] = view[i, j] + x[i * 3 + j]


@T.prim_func(s_tir=True)
def if_told_so(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32"), add: T.bool):
    for i in range(N):
        if add:
            y[i] = y[i] + x[i]
        else:
            y[i] = x[i]


@T.prim_func(s_tir=True)
def where_data_say_so(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        if x[i] > T.float32(0):
            old: T.float32 = y[N - 1 - i]
            y[i] = old + x[i]


@T.prim_func(s_tir=True)
def in_the_other_branch(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        if x[i] > T.float32(0):
            y[i] = x[i]
        else:
            y[i] = y[i] * T.float32(2)


@T.prim_func(s_tir=True)
def while_it_is_small(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    i = T.alloc_buffer((1,), "int32")
    i[0] = 0
    while i[0] < N:
        y[i[0]] = y[i[0]] + x[i[0]]
        i[0] = i[0] + 1


UPDATES = [
    other_element, by_a_temporary, sum_without_start, in_another_block, by_a_matched_view,
    by_a_declared_view, if_told_so, where_data_say_so, in_the_other_branch, while_it_is_small,
]  # fmt: skip


def _name(function):
    return function.attrs["global_symbol"]


@pytest.mark.parametrize("function", UPDATES, ids=_name)
def test_updates_are_refused(function):
    message = r"(?s)it changes 'y' in place.*it reads .* before it writes 'y'.*new_y = T\.match_buf"
    with pytest.raises(ValueError, match=message):
        tftvm.build(function)


def test_a_size_that_only_the_updated_tensor_has():
    @T.prim_func(s_tir=True)
    def put(pages_h: T.handle, row: T.Buffer((3,), "float32"), at: T.int32):
        n = T.int32()
        pages = T.match_buffer(pages_h, (n, 3), "float32")
        for i in range(3):
            pages[at, i] = row[i]

    with pytest.raises(ValueError, match="'n' in 'pages: .*' is no dimension of any input.*place"):
        tftvm.build(put)


# Those read only what they have written.


@T.prim_func(s_tir=True)
def running_sum(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        y[i] = T.if_then_else(i > 0, y[i - 1], T.float32(0)) + x[i]


@T.prim_func(s_tir=True)
def sum_that_starts_with_its_first(x: T.Buffer((3, N), "float32"), y: T.Buffer((N,), "float32")):
    for k, i in T.grid(3, N):
        if k > 0:
            y[i] = y[i] + x[k, i]
        else:
            y[i] = x[k, i]


@T.prim_func(s_tir=True)
def positive_runs(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        if i > 0 and y[T.max(i - 1, 0)] > T.float32(0):
            y[i] = y[i - 1] + x[i]
        else:
            y[i] = x[i]


@T.prim_func(s_tir=True)
def sum_in_a_view(x: T.Buffer((N, 3), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("view"):
            vi = T.axis.spatial(N, i)
            view = T.match_buffer(y[vi : vi + 1], (1,), "float32", offset_factor=1)
            view[0] = T.float32(0)
            for k in range(3):
                view[0] = view[0] + x[vi, k]


@T.prim_func(s_tir=True)
def tiled_sum(x: T.Buffer((N, 4), "float32"), y: T.Buffer((N,), "float32")):
    for i, ko, ki in T.grid(N, 2, 2):
        k: T.int32 = ko * 2 + ki
        y[i] = T.Select(k == 0, T.float32(0), y[i]) + x[i, k]


@T.prim_func(s_tir=True)
def copied_and_reversed(x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        y[i] = x[i]
    for i in range(N // 2):
        last: T.float32 = y[N - 1 - i]
        y[N - 1 - i] = y[i]
        y[i] = last


def _running(x):
    y = np.zeros(N, "float32")
    for i in range(N):
        y[i] = x[i] + (y[i - 1] if i and y[i - 1] > 0 else 0)
    return y


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (running_sum, [N], np.cumsum),
        (sum_that_starts_with_its_first, [3, N], lambda x: x.sum(0)),
        (positive_runs, [N], _running),
        (sum_in_a_view, [N, 3], lambda x: x.sum(1)),
        (tiled_sum, [N, 4], lambda x: x.sum(1)),
        (copied_and_reversed, [N], lambda x: x[::-1]),
    ],
    ids=lambda value: _name(value) if hasattr(value, "attrs") else "",
)
def test_outputs_that_are_read_once_written(function, shape, expected):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    built = tftvm.build(function)
    (name,) = built.functions
    assert [output.name for output in built.signature(name).outputs] == ["y"]
    np.testing.assert_allclose(built[name](tf.constant(x)), expected(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["decompose", "cache_write", "rfactor", "compute_at"])
def test_scheduled_sums(change):
    n, m = te.var("n"), 8
    x = te.placeholder((n, m), "float32", name="x")
    k = te.reduce_axis((0, m), name="k")
    y = te.compute((n,), lambda i: te.sum(x[i, k], axis=k), name="y")
    z = te.compute((n,), lambda i: y[i] * 2.0, name="z")
    schedule = s_tir.Schedule(te.create_prim_func([x, y, z]))
    block = schedule.get_sblock("y")
    i, k = schedule.get_loops(block)
    if change == "decompose":
        schedule.decompose_reduction(block, k)
    elif change == "cache_write":
        schedule.cache_write(block, 0, "global")
    elif change == "rfactor":
        outer, _ = schedule.split(k, [2, 4])
        schedule.rfactor(outer, 0)
    else:
        outer, _ = schedule.split(i, [None, 4])
        schedule.reverse_compute_at(schedule.get_sblock("z"), outer)
    given = np.random.default_rng(0).normal(size=[5, m]).astype("float32")
    sums, doubled = tftvm.build(schedule, name="f")["f"](tf.constant(given))
    np.testing.assert_allclose(sums, given.sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(doubled, 2 * given.sum(1), rtol=1e-5, atol=1e-6)
