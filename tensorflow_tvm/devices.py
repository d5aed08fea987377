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
"""Where a function runs: devices of TensorFlow's, and those that only TVM knows."""

from __future__ import annotations

import contextlib
import re

import tensorflow as tf

# As the TVM runtime calls them. An op on the CPU copies tensors to them and back.
TVM_DEVICES = (
    "opencl",
    "vulkan",
    "metal",
    "rocm",
    "hexagon",
    "webgpu",
    "oneapi",
    "vpi",
    "trn",
    "ext_dev",
)
_TENSORFLOW = re.compile(r"(cpu|gpu|cuda)(:\d+)?", re.IGNORECASE)
_TVM = re.compile(rf"(?:{'|'.join(TVM_DEVICES)})(?::\d{{1,9}})?", re.IGNORECASE)


def parse(target_device: str | None, context: str) -> tuple[str | None, str | None]:
    """Turn `target_device` into what `tf.device` takes and what the op's `callee` says.

    Returns
    -------
    tuple of (str or None, str or None)
        TensorFlow's device, and TVM's; None where it is open.

    Raises
    ------
    ValueError
        If it names no device.
    """
    if target_device is None:
        return None, None
    if isinstance(target_device, str):
        if (short := _TENSORFLOW.fullmatch(target_device)) is not None:
            kind = "CPU" if short[1].lower() == "cpu" else "GPU"
            return f"/device:{kind}{short[2] or ':0'}", None
        if _TVM.fullmatch(target_device) is not None:
            return "/device:CPU:0", target_device.lower()
        with contextlib.suppress(ValueError):
            spec = tf.DeviceSpec.from_string(target_device)
            known = spec.device_type in (None, "CPU", "GPU") and (spec.device_index or 0) >= 0
            if target_device and known:
                return spec.to_string(), None
    raise ValueError(
        f"{context}: unknown target_device {target_device!r}. Expected 'cpu', 'gpu' or 'cuda', "
        "with an optional index as in 'cuda:1', a TensorFlow device string such as '/gpu:0', or a "
        f"device that TVM reaches from the CPU: {', '.join(TVM_DEVICES)}."
    )


def check(device: str, context: str) -> None:
    """Refuse a device of this process that is not there: TensorFlow would take another, unasked."""
    wanted = tf.DeviceSpec.from_string(device)
    if wanted.job is not None or wanted.device_type is None:
        return
    there = [logical.name for logical in tf.config.list_logical_devices()]
    if f"/device:{wanted.device_type}:{wanted.device_index or 0}" not in there:
        raise ValueError(
            f"{context}: target_device {device} is not there. TensorFlow sees {', '.join(there)}."
        )
