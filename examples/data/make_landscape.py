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
"""Make landscape.jpg, the picture that the quickstart filters.

Run it from anywhere: ``python examples/data/make_landscape.py``. It draws the same picture each
time and needs NumPy and TensorFlow only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

_HEIGHT, _WIDTH = 384, 512
_HORIZON = 250


def _smooth_noise(rng: np.random.Generator, length: int, octaves: int) -> np.ndarray:
    """Return a curve with detail at every scale, between about -1 and 1."""
    curve = np.zeros(length)
    for octave in range(octaves):
        knots = rng.uniform(-1, 1, 2**octave * 3 + 2)
        curve += np.interp(np.linspace(0, len(knots) - 1, length), np.arange(len(knots)), knots) / (
            2**octave
        )
    return curve / 2


def _draw(rng: np.random.Generator) -> np.ndarray:
    """Return a picture as float [height, width, 3], from 0 to 1."""
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(float)
    height = (rows / _HORIZON)[..., None]
    picture = np.array([0.25, 0.42, 0.70]) * (1 - height) + np.array([0.98, 0.72, 0.48]) * height
    distance = np.hypot(rows - 150, columns - 370)[..., None]
    picture += np.array([0.5, 0.35, 0.15]) * np.exp(-distance / 60)
    picture = np.where(distance < 26, np.array([1.0, 0.96, 0.82]), picture)

    # Three ranges of mountains: the nearer, the lower, darker and rougher.
    for base, swing, haze in [(170, 70, 0.65), (210, 45, 0.4), (238, 22, 0.15)]:
        ridge = base - swing * _smooth_noise(rng, _WIDTH, 8)
        depth = rows - ridge[None, :]
        rock = 0.12 + 0.05 * rng.standard_normal((_HEIGHT, _WIDTH)) + 0.0015 * depth
        snow = (depth > 0) & (depth < 12 + 8 * rng.uniform(size=_WIDTH)) & (haze > 0.5)
        colour = np.stack([rock, rock * 1.15, rock * 1.3], -1) + 0.55 * snow[..., None]
        colour = colour * (1 - haze) + np.array([0.62, 0.62, 0.72]) * haze
        picture = np.where((depth > 0)[..., None], colour, picture)

    # A lake that mirrors what is above it, in waves.
    wave = 2.5 * np.sin(rows[_HORIZON:] * 0.9 + 3 * np.sin(columns[_HORIZON:] / 37))
    source = np.clip(2 * _HORIZON - rows[_HORIZON:] * 1.0 + wave, 0, _HORIZON - 1).astype(int)
    mirrored = picture[source, columns[_HORIZON:].astype(int)]
    picture[_HORIZON:] = mirrored * np.array([0.6, 0.7, 0.8]) + 0.03

    # Pines on the near shore.
    for foot in rng.uniform(0, _WIDTH, 34):
        tall, bottom = rng.uniform(35, 80), _HEIGHT + rng.uniform(-18, 12)
        above = bottom - rows
        half = (tall - above) * 0.2 * (0.55 + 0.45 * ((above / 7) % 1))
        tree = (above > 0) & (above < tall) & (np.abs(columns - foot) < half)
        needles = 0.06 + 0.05 * rng.uniform(size=(_HEIGHT, _WIDTH))
        picture = np.where(tree[..., None], needles[..., None] * np.array([0.8, 1.6, 0.9]), picture)

    picture += 0.012 * rng.standard_normal(picture.shape)  # the grain of a camera
    return np.clip(picture, 0, 1)


def main() -> None:
    """Write landscape.jpg beside this file."""
    picture = tf.constant(np.round(_draw(np.random.default_rng(4464)) * 255).astype(np.uint8))
    path = Path(__file__).with_name("landscape.jpg")
    path.write_bytes(tf.io.encode_jpeg(picture, quality=82).numpy())
    print(f"{path}: {_WIDTH} x {_HEIGHT}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
