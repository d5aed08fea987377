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
"""Train a classifier of digits whose hidden layer is a TVM function, beside one that is all Keras.

Both have the same model, the same initial weights and the same batches, for several seeds. The
accuracies on digits that neither has seen are printed, and the curves are written to a picture.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tvm import te

import tensorflow_tvm as tftvm

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

UNITS = 128
BATCH = 32
TOLERANCE = 0.5  # points of accuracy


def product(x: te.Tensor, w: te.Tensor, b: te.Tensor) -> te.Tensor:
    """Return x·w + b."""
    k = te.reduce_axis((0, x.shape[1]), name="k")
    shape = (x.shape[0], w.shape[1])
    products = te.compute(shape, lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="products")
    return te.compute(shape, lambda i, j: products[i, j] + b[j], name="z")


def dense_gelu(x: te.Tensor, w: te.Tensor, b: te.Tensor) -> te.Tensor:
    """Return gelu(x·w + b), where gelu(z) = z/2·(1 + erf(z/√2))."""
    z = product(x, w, b)
    return te.compute(
        z.shape, lambda i, j: 0.5 * z[i, j] * (1.0 + te.erf(z[i, j] * 0.5**0.5)), name="y"
    )


def dense_gelu_gradient(
    x: te.Tensor, w: te.Tensor, b: te.Tensor, dy: te.Tensor
) -> tuple[te.Tensor, ...]:
    """Return the gradients of x, w and b. What z was is computed anew."""
    z = product(x, w, b)

    def slope(v: te.PrimExpr) -> te.PrimExpr:
        bell = te.exp(v * v * -0.5) * (2.0 * np.pi) ** -0.5
        return 0.5 * (1.0 + te.erf(v * 0.5**0.5)) + v * bell

    dz = te.compute(z.shape, lambda i, j: dy[i, j] * slope(z[i, j]), name="dz")
    samples = [te.reduce_axis((0, x.shape[0]), name=name) for name in ("s", "t")]
    units = te.reduce_axis((0, w.shape[1]), name="u")
    return (
        te.compute(x.shape, lambda i, j: te.sum(dz[i, units] * w[j, units], axis=units), name="dx"),
        te.compute(
            w.shape,
            lambda i, j: te.sum(x[samples[0], i] * dz[samples[0], j], samples[0]),
            name="dw",
        ),
        te.compute(b.shape, lambda j: te.sum(dz[samples[1], j], axis=samples[1]), name="db"),
    )


def build() -> tftvm.Function:
    """Compile the layer and its gradient, for all sizes."""
    n, d, u = te.var("n"), te.var("d"), te.var("u")
    x = te.placeholder((n, d), "float32", name="x")
    w = te.placeholder((d, u), "float32", name="w")
    b = te.placeholder((u,), "float32", name="b")
    gradient = tftvm.Gradient(dense_gelu_gradient, takes=["args", "grads"])
    module = tftvm.build([x, w, b, dense_gelu(x, w, b)], name="dense_gelu", gradient=gradient)
    return module["dense_gelu"]


def make_model(hidden: keras.layers.Layer) -> keras.Model:
    """Return the classifier: one hidden layer."""
    model = keras.Sequential([keras.Input([64]), hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


def train(
    model: keras.Model, data: tuple[np.ndarray, ...], seed: int, epochs: int
) -> tuple[list[float], float]:
    """Train a model; return its accuracy on the test data after each epoch, and the seconds."""
    x, x_test, y, y_test = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed).batch(BATCH)
    test = tf.data.Dataset.from_tensor_slices((x_test, y_test)).batch(len(x_test))
    start = time.perf_counter()
    history = model.fit(
        batches, epochs=epochs, validation_data=test, shuffle=False, verbose=0
    ).history
    return [100.0 * a for a in history["val_accuracy"]], time.perf_counter() - start


def compare(function: tftvm.Function, seed: int, epochs: int) -> tuple[list[float], list[float]]:
    """Train both models from one seed; return their accuracies, Keras's first."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16.0).astype(np.float32)
    data = train_test_split(pixels, labels, test_size=0.25, random_state=seed, stratify=labels)
    keras.utils.set_random_seed(seed)
    theirs = make_model(keras.layers.Dense(UNITS, activation="gelu"))
    weights = ["w", tftvm.layers.Weight("b", initializer="zeros")]
    ours = make_model(tftvm.layers.TVMLayer(function, weights, sizes={"u": UNITS}))
    ours.set_weights(theirs.get_weights())
    curves = []
    for name, model in (("Keras", theirs), ("TVM", ours)):
        curve, seconds = train(model, data, seed, epochs)
        print(f"seed {seed}: {name:<5} {curve[-1]:6.2f} % after {epochs} epochs, {seconds:.1f} s")
        curves.append(curve)
    return curves[0], curves[1]


def plot(curves: dict[int, tuple[list[float], list[float]]], path: Path) -> None:
    """Draw the accuracies of all seeds over the epochs."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for i, (seed, (theirs, ours)) in enumerate(curves.items()):
        epochs = range(1, len(ours) + 1)
        axes.plot(
            epochs, theirs, color=f"C{i}", linewidth=4, alpha=0.35, label=f"Keras, seed {seed}"
        )
        axes.plot(epochs, ours, color=f"C{i}", linewidth=1.2, label=f"TVM, seed {seed}")
    axes.set_title("Digits: a hidden layer by Keras and by TVM")
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy on unseen digits, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Train, print a table and write the picture. Return 1 if the accuracies differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=".", help="folder for digits.png (default: this one)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the data (default: 15)")
    arguments = parser.parse_args(argv)
    # `bazel run` starts programs in a folder of its own.
    folder = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""), arguments.output)
    folder.mkdir(parents=True, exist_ok=True)

    function = build()
    print(f"dense_gelu{function.signature}")
    curves = {seed: compare(function, seed, arguments.epochs) for seed in range(arguments.seeds)}
    plot(curves, folder / "digits.png")

    print("\n| seed | Keras, % | TVM, % | difference |\n|---:|---:|---:|---:|")
    agree = True
    for seed, (theirs, ours) in curves.items():
        difference = ours[-1] - theirs[-1]
        agree = agree and abs(difference) <= TOLERANCE
        print(f"| {seed} | {theirs[-1]:.2f} | {ours[-1]:.2f} | {difference:+.2f} |")
    print(f"\nThe curves are in {folder / 'digits.png'}")
    if not agree:
        print(f"The accuracies differ by more than {TOLERANCE} points.", file=sys.stderr)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
