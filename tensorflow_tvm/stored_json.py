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
"""JSON that a library or a graph holds: it may be damaged, or made to do harm."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the object that `text` is.

    Raises
    ------
    ValueError
        If it is none, whatever it is instead.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    return as_object(value, "it")


def as_object(value: Any, what: str) -> dict[str, Any]:
    """Return `value` if it is an object; `what` is what messages call it, as for those below."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, given {shortened(value)}")
    return value


def as_text(value: Any, what: str) -> str:
    """Return `value` if it is a string that UTF-8 can hold."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string, given {shortened(value)}")
    if not is_text(value):
        raise ValueError(f"{what} is not Unicode, given {shortened(value)}")
    return value


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold a string: it has no half characters (surrogates)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_texts(value: Any, what: str) -> tuple[str, ...]:
    """Return `value` if it is a list of such strings."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list of strings, given {shortened(value)}")
    return tuple(as_text(entry, f"an entry of {what}") for entry in value)


def as_indices(value: Any, what: str, count: int) -> tuple[int, ...]:
    """Return `value` if it is a list of integers of at least 0 and below `count`."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list of integers, given {shortened(value)}")
    for entry in value:
        if not isinstance(entry, int) or isinstance(entry, bool) or not 0 <= entry < count:
            raise ValueError(
                f"{what} must have integers from 0 to {count - 1} only, given {shortened(entry)}"
            )
    return tuple(value)


def shortened(value: Any) -> str:
    """Return a value for a message; it may be of any size, and text that UTF-8 cannot hold."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    if isinstance(value, int) and abs(value) >= 2**64:  # Python refuses to print very large ones
        return "an integer of more than 64 bits"
    text = ascii(value[:50]) + "…" * (len(value) > 50) if isinstance(value, str) else repr(value)
    return text
