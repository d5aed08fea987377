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
"""TVM's own kernels for large language models on CPUs: attention and RoPE, against NumPy.

Their scalars come after the outputs, some of their inputs too, and their buffers have offsets.
"""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest
from tvm import tirx
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn.llm import kv_cache, position_embedding

import tensorflow_tvm as tftvm

tree_attention = importlib.import_module("tvm.relax.frontend.nn.llm.tree_attn")

KV_HEADS, HEADS, SIZE, PAGE, LAYERS = 2, 4, 8, 16, 3
THETA, SCALE, SOFTMAX_SCALE = 10_000.0, 0.5, 0.3
LLAMA = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
ATTRS = {"rope_scale": SCALE, "rope_theta": THETA, "sm_scale": SOFTMAX_SCALE}


def _llama_rope(rope_scaling: dict) -> tirx.PrimFunc:
    """Return the function that `llama_rope` would pass to Relax."""
    passed = []

    def keep(function, *_, **__):
        passed.append(function)

    qkv = nn.Tensor.placeholder(["b", "s", HEADS + 2 * KV_HEADS, SIZE], "float32", name="qkv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_embedding.op, "tensor_ir_op", keep)
        position_embedding.llama_rope(
            qkv, tirx.Var("total", "int64"), THETA, SCALE, HEADS, KV_HEADS, rope_scaling
        )
    return passed[0]


def _functions() -> dict[str, tirx.PrimFunc]:
    attention = (KV_HEADS, HEADS, SIZE, "float32")
    embedding = position_embedding.llama_rope_with_position_map
    embedding_4 = position_embedding.llama4_rope_with_position_map
    rope = (THETA, SCALE, SIZE, HEADS, KV_HEADS, "float32")
    return {
        "decode": kv_cache._attention_decode_cpu(*attention, False, {}),
        "decode_window": kv_cache._attention_decode_cpu(*attention, True, {}),
        "prefill": kv_cache._attention_prefill_cpu(*attention, False, {}),
        "prefill_window": kv_cache._attention_prefill_cpu(*attention, True, {}),
        "ragged": kv_cache._attention_prefill_ragged_cpu(
            KV_HEADS, HEADS, SIZE, SIZE, "float32", {}
        ),
        "tree": tree_attention.tree_attn_cpu(*attention, {}),
        "tree_paged": tree_attention.tree_attn_with_paged_kv_cache_cpu(*attention, {}),
        "get_kv": kv_cache._kv_cache_debug_get_kv(LAYERS, KV_HEADS, SIZE, "float32"),
        "get_kv_latent": kv_cache._kv_cache_debug_get_kv_mla(LAYERS, SIZE, "float32"),
        "rope": embedding(*rope, {}),
        "rope_llama3": embedding(*rope, {"rope_type": "llama3", **LLAMA}),
        "rope_llama4": embedding_4(*rope, {"rope_type": "llama4", **LLAMA}),
        "rope_gptj": _llama_rope({"rope_type": "gptj"}),
    }


@pytest.fixture(scope="module")
def module() -> tftvm.Module:
    return tftvm.build(_functions())


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype("float32")


def integers(*values) -> np.ndarray:
    return np.array(values, "int32")


def rotate(x, positions, halves=True, frequencies=None, embed=True):
    """Rotate pairs of elements of x: [length, heads, size]."""
    if not embed:
        return x
    size = x.shape[-1]
    if halves:
        partner = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
        numbers = np.arange(size) % (size // 2)
    else:
        partner = np.stack([-x[..., 1::2], x[..., 0::2]], -1).reshape(x.shape)
        numbers = np.arange(size) // 2
    if frequencies is None:
        frequencies = 1.0 / THETA ** (2.0 * np.arange(size // 2) / size)
    angle = (np.asarray(positions, "float64") * SCALE)[:, None, None] * frequencies[numbers]
    return np.cos(angle) * x + np.sin(angle) * partner


def attend(q, k, v, visible):
    """Return attention and the binary logarithm of its softmax's denominator, of one sequence."""
    k, v = (np.repeat(x, HEADS // KV_HEADS, axis=1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) * SOFTMAX_SCALE
    weights = np.where(visible, np.exp(scores), 0.0)
    total = weights.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", weights / total, v), np.log2(total[..., 0].T)


def causal(queries: int, keys: int) -> np.ndarray:
    return np.tril(np.ones([queries, keys], bool), keys - queries)


def joined(results):
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def check(actual, expected):
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


class Pages:
    """Keys and values of two sequences, of 20 and 5 tokens, in pages, of which one is unused."""

    lengths = (20, 5)
    indptr = integers(0, 2, 3)
    values = integers(3, 0, 2)
    last = integers(4, 5)
    pages = normal(4, 2, KV_HEADS, PAGE, SIZE)
    offsets = integers(7, 2)  # of the keys' positions

    def sequence(self, i: int, embed: bool, at=None):
        """Return keys and values of a sequence, or of its tokens `at`."""
        pages = self.pages[self.values[self.indptr[i] : self.indptr[i + 1]]]
        at = np.arange(self.lengths[i]) if at is None else at
        k, v = (np.concatenate(pages[:, j], axis=1).swapaxes(0, 1)[at] for j in (0, 1))
        return rotate(k, self.offsets[i] + np.arange(len(at)), embed=embed), v


PAGES = Pages()


@pytest.mark.parametrize("embed", [0, 1])
def test_decode(run, module, embed):
    q, positions = normal(2, HEADS, SIZE), integers(11, 5)
    decode = module["decode"]
    given = (q, PAGES.pages, PAGES.indptr, PAGES.values, PAGES.last, PAGES.offsets, positions)
    expected = joined(
        attend(rotate(q[i : i + 1], positions[i : i + 1], embed=embed),
               *PAGES.sequence(i, embed), True)
        for i in range(2)
    )  # fmt: skip
    check(run(lambda *x: decode(*x, rotary_mode=embed, **ATTRS), *given), expected)


def test_decode_in_a_window(run, module):
    q, positions = normal(2, HEADS, SIZE), integers(11, 5)
    sinks, starts = integers(2, 0), integers(9, 1)
    decode = module["decode_window"]
    lengths = np.stack([PAGES.last, starts, sinks])
    given = (q, PAGES.pages, PAGES.indptr, PAGES.values, lengths, PAGES.offsets, positions)
    results = []
    for i in range(2):
        kept = np.r_[: sinks[i], starts[i] : PAGES.lengths[i]]
        k, v = PAGES.sequence(i, True, kept)
        results.append(attend(rotate(q[i : i + 1], positions[i : i + 1]), k, v, True))
    check(run(lambda *x: decode(*x, rotary_mode=1, **ATTRS), *given), joined(results))


@pytest.mark.parametrize(("name", "embed", "mask"), [
    ("prefill", 0, 1), ("prefill", 1, 0), ("prefill_window", 1, 0)
])  # fmt: skip
def test_prefill(run, module, name, embed, mask):
    counts = (3, 2)
    indptr = integers(0, 3, 5)
    q, positions = normal(5, HEADS, SIZE), integers(4, 5, 6, 2, 3)
    lengths = PAGES.last
    if name == "prefill_window":
        lengths = np.stack([PAGES.last, integers(0, 0), integers(0, 0)])
    given = (
        q, indptr, PAGES.pages, PAGES.indptr, PAGES.values, lengths, PAGES.offsets, positions
    )  # fmt: skip
    results = []
    for i, count in enumerate(counts):
        at = slice(indptr[i], indptr[i + 1])
        visible = causal(count, PAGES.lengths[i]) if mask else True
        mine = rotate(q[at], positions[at], embed=embed)
        results.append(attend(mine, *PAGES.sequence(i, embed), visible))
    function = module[name]
    actual = run(lambda *x: function(*x, causal=mask, rotary_mode=embed, **ATTRS), *given)
    check(actual, joined(results))


@pytest.mark.parametrize(("embed", "mask"), [(0, 1), (1, 0), (1, 1)])
def test_prefill_of_ragged_sequences(run, module, embed, mask):
    q_indptr, k_indptr = integers(0, 3, 5), integers(0, 6, 8)
    q, k, v = normal(5, HEADS, SIZE), normal(8, KV_HEADS, SIZE), normal(9, KV_HEADS, SIZE)[:8]
    positions, offsets = integers(3, 4, 5, 0, 1), integers(2, 1)
    results = []
    for i in range(2):
        mine, theirs = (slice(p[i], p[i + 1]) for p in (q_indptr, k_indptr))
        keys = rotate(k[theirs], offsets[i] + np.arange(len(k[theirs])), embed=embed)
        visible = causal(len(q[mine]), len(keys)) if mask else True
        queries = rotate(q[mine], positions[mine], embed=embed)
        results.append(attend(queries, keys, v[theirs], visible))
    ragged = module["ragged"]
    given = (q, q_indptr, k, v, k_indptr, positions, offsets)
    actual = run(lambda *x: ragged(*x, causal=mask, rotary_mode=embed, **ATTRS), *given)
    check(actual, joined(results))


# Trees of tokens, in order: when each is entered, and left.
TREE = integers([0, 3], [1, 2], [2, 3], [0, 2], [1, 2])
TREES = integers(0, 3, 5)


def _descends(order, keys: int) -> np.ndarray:
    """Return which keys are ancestors of which queries; what precedes the tree is everybody's."""
    entered, left = order[:, None, 0], order[None, :, 1]
    tree = (entered >= order[None, :, 0]) & (entered < left)
    return np.concatenate([np.ones([len(order), keys - len(order)], bool), tree], 1)


@pytest.mark.parametrize("embed", [0, 1])
def test_attention_to_trees(run, module, embed):
    q, k, v = normal(5, HEADS, SIZE), normal(5, KV_HEADS, SIZE), normal(6, KV_HEADS, SIZE)[:5]
    positions = integers(4, 5, 5, 2, 3)
    results = []
    for i in range(2):
        at = slice(TREES[i], TREES[i + 1])
        mine, keys = (rotate(x[at], positions[at], embed=embed) for x in (q, k))
        results.append(attend(mine, keys, v[at], _descends(TREE[at], len(keys))))
    tree = module["tree"]
    given = (q, TREES, k, v, TREES, positions, TREES, TREE)
    actual = run(lambda *x: tree(*x, rotary_mode=embed, **ATTRS), *given)
    check(actual, joined(results))


def test_attention_to_trees_in_pages(run, module):
    q, positions = normal(5, HEADS, SIZE), integers(4, 5, 5, 2, 3)
    results = []
    for i in range(2):
        at = slice(TREES[i], TREES[i + 1])
        keys, values = PAGES.sequence(i, False)
        results.append(attend(q[at], keys, values, _descends(TREE[at], len(keys))))
    tree = module["tree_paged"]
    # The last two inputs come after the outputs and the scalars.
    given = (
        q, TREES, PAGES.pages, PAGES.indptr, PAGES.values, PAGES.last, PAGES.offsets, positions,
        TREES, TREE,
    )  # fmt: skip
    check(run(lambda *x: tree(*x, rotary_mode=0, **ATTRS), *given), joined(results))


def test_what_the_cache_holds(run, module):
    """They write one layer of their outputs."""
    positions = integers(33, 2, 63, 0)
    at = positions // PAGE, positions % PAGE
    function = module["get_kv"]
    k, v = run(lambda *x: function(*x, layer_id=1), PAGES.pages, positions)
    np.testing.assert_array_equal(k[1], PAGES.pages[at[0], 0, :, at[1]])
    np.testing.assert_array_equal(v[1], PAGES.pages[at[0], 1, :, at[1]])
    latent = normal(4, PAGE, SIZE)
    function = module["get_kv_latent"]
    found = run(lambda *x: function(*x, layer_id=2), latent, positions)
    np.testing.assert_array_equal(found[2], latent[at])


def _smoothed(blend) -> np.ndarray:
    """Return the frequencies of llama3 and llama4, which differ in nothing else."""
    low, high, factor = (LLAMA[k] for k in ("low_freq_factor", "high_freq_factor", "factor"))
    plain = 1.0 / THETA ** (2.0 * np.arange(SIZE // 2) / SIZE)
    turns = LLAMA["original_max_position_embeddings"] / (2 * np.pi) * plain
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return blend(smooth, plain, factor)


FREQUENCIES = {
    "rope": None,
    "rope_llama3": _smoothed(lambda s, f, factor: (1 - s) * f / factor + s * f),
    "rope_llama4": _smoothed(lambda s, f, factor: (1 - s) * f / factor + s * f),
}


def _split(qkv):
    return np.split(qkv, [HEADS, HEADS + KV_HEADS], axis=-2)


@pytest.mark.parametrize(("name", "embed"), [*itertools.product(FREQUENCIES, [1]), ("rope", 0)])
def test_rope_by_positions(run, module, name, embed):
    qkv, positions = normal(5, HEADS + 2 * KV_HEADS, SIZE), integers(9, 0, 3, 100, 41)
    function = module[name]
    q, k, v = _split(qkv)
    halves = name != "rope_llama4"
    expected = [rotate(x, positions, halves, FREQUENCIES[name], embed) for x in (q, k)]
    actual = run(lambda *x: function(*x, apply_rope=embed), qkv, positions)
    check(actual, [*expected, v])


def test_rope_of_a_batch(run, module):
    qkv, total = normal(2, 3, HEADS + 2 * KV_HEADS, SIZE), 7
    function = module["rope_gptj"]
    q, k, v = _split(qkv)
    positions = np.arange(total - 3, total)
    expected = [np.stack([rotate(row, positions, False) for row in x]) for x in (q, k)]
    actual = run(lambda x: function(x, total_seq_len=total), qkv)
    check(actual, [*expected, v])


@pytest.mark.parametrize(
    ("function", "changed"),
    [
        (kv_cache._merge_state_inplace_cpu("float32"), "V"),
        (kv_cache._kv_cache_transpose_append(KV_HEADS, SIZE, "float32"), "pages"),
        (kv_cache._kv_cache_transpose_append_mla(SIZE, "float32"), "pages"),
        (kv_cache._copy_single_page_cpu(KV_HEADS, PAGE, SIZE, "float32"), "pages"),
        (kv_cache._compact_kv_copy_cpu(KV_HEADS, SIZE, "float32"), "pages"),
    ],
    ids=["merge_state", "append", "append_latent", "copy_page", "compact"],
)
def test_what_updates_its_arguments_is_refused(function, changed):
    with pytest.raises(ValueError, match=f"(?s)changes '{changed}' in place.*new_{changed}"):
        tftvm.build(function)
