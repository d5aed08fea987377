"""Runs one pytest file as a Bazel test: `pytest_main.py path/to/x_test.py [pytest flags]`."""

import os
import pathlib
import sys

import pytest


def _bazel_flags() -> list[str]:
    """What Bazel asks of a test by its environment, in pytest's words."""
    flags = []
    if scratch := os.environ.get("TEST_TMPDIR"):
        # A test that wrote to the user's home would pass or fail by what it left there.
        os.environ["HOME"] = scratch
        os.environ.pop("XDG_CACHE_HOME", None)
        flags.append(f"--basetemp={scratch}/pytest")
    if report := os.environ.get("XML_OUTPUT_FILE"):
        flags.append(f"--junitxml={report}")
    if name := os.environ.get("TESTBRIDGE_TEST_ONLY"):  # bazel test --test_filter=
        flags.append(f"-k={name}")
    return flags


class _Shard:
    """Takes every n-th test where Bazel splits the file (shard_count)."""

    def __init__(self) -> None:
        self.total = int(os.environ.get("TEST_TOTAL_SHARDS") or 1)
        self.index = int(os.environ.get("TEST_SHARD_INDEX") or 0)
        if status := os.environ.get("TEST_SHARD_STATUS_FILE"):
            pathlib.Path(status).touch()  # Tells Bazel that sharding is understood.

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = items[self.index :: self.total]


def main() -> int:
    flags = ["-pno:cacheprovider", "--color=no", *_bazel_flags(), *sys.argv[1:]]
    shard = _Shard()
    status = pytest.main(flags, plugins=[shard])
    # A shard or a filter may leave nothing of a file; a whole file without tests is a mistake.
    partial = shard.total > 1 or "TESTBRIDGE_TEST_ONLY" in os.environ
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and partial:
        return 0
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
