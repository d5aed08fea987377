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
"""What check_op says: a table of checks, and the error of one that fails."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

OK = "ok"
FAILED = "failed"
SKIPPED = "skipped"
NOT_AVAILABLE = "not available"


class CheckFailed(AssertionError):
    """A check of `check_op` failed.

    Attributes
    ----------
    check : str
        The name of the check.
    output : str or None
        Which output, input or gradient differs, such as ``"output 0"``.
    index : tuple of int or None
        Where the first difference is.
    expected, given : Any
        What was expected there, and what was given.
    report : CheckReport or None
        All that was checked until then.
    """

    def __init__(
        self,
        problem: str,
        advice: str,
        *,
        output: str | None = None,
        index: tuple[int, ...] | None = None,
        expected: Any = None,
        given: Any = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice
        self.output = output
        self.index = index
        self.expected = expected
        self.given = given
        self.check = ""
        self.subject = ""
        self.report: CheckReport | None = None

    def __str__(self) -> str:
        return (
            f"{self.subject} fails the check '{self.check}': {self.problem}\n"
            f"What to do: {self.advice}"
        )


class NotAvailable(Exception):
    """A check cannot be made, which is no fault of the callable."""


class Skipped(Exception):
    """A check has nothing to look at."""


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    check : str
        The name of the check.
    status : str
        ``"ok"``, ``"failed"``, ``"skipped"`` or ``"not available"``.
    reason : str
        Why it is not simply ok.
    seconds : float
        How long it took.
    """

    check: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@dataclasses.dataclass
class CheckReport:
    """What `check_op` checked. Printed, it is a table; iterated over, it gives `CheckResult` s.

    Attributes
    ----------
    subject : str
        What the callable is called.
    results : list of CheckResult
        One for each check, in the order in which they were made.
    """

    subject: str
    results: list[CheckResult] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(result.status != FAILED for result in self.results)

    def __getitem__(self, check: str) -> CheckResult:
        """Return the result of a check by its name."""
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(check)

    def __iter__(self) -> Iterator[CheckResult]:
        """Iterate over the results."""
        return iter(self.results)

    def __len__(self) -> int:
        """Return how many checks there are."""
        return len(self.results)

    def __str__(self) -> str:
        rows = [("check", "result", "time", "")]
        rows += [(r.check, r.status, _time(r), _line(r.reason)) for r in self.results]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            f"{name:<{widths[0]}}  {status:<{widths[1]}}  {time:>{widths[2]}}  {reason}".rstrip()
            for name, status, time, reason in rows
        ]
        return "\n".join([self.subject, *lines])


def _time(result: CheckResult) -> str:
    if result.status == SKIPPED:
        return ""
    if result.seconds < 1:
        return f"{result.seconds * 1e3:.0f} ms"
    return f"{result.seconds:.1f} s"


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:99] + "…"


def first_line(error: BaseException) -> str:
    """Return what is worth a line of an error's message."""
    message = getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in message.splitlines()]
    # An error from inside of a tf.function begins with a traceback of user code.
    if lines and lines[0].startswith("in user code"):
        lines = [x for x in lines if re.match(r"\w+(Error|Exception)\b", x)] or lines[-1:]
    text = next((line for line in lines if line), "")
    name = type(error).__name__
    return text if text.startswith(name) else f"{name}: {text}".removesuffix(": ")
