"""Prints `N passed, N failed, N skipped` for a finished `bazel test`.

    ci_summary.py <the --build_event_json_file> <Bazel's exit status>

Counts test cases: pytest reports each, a C++ test is one.
"""

import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable


def cases(report: str, passed: bool) -> Counter[str]:
    """The cases of one test run.

    Parameters
    ----------
    report : str
        Its test.xml; anything that is no JUnit report counts as one case.
    passed : bool
        What Bazel says of the run as a whole.
    """
    try:
        found = list(ET.fromstring(report).iter("testcase"))
    except ET.ParseError:
        found = []
    counts = Counter(
        "failed"
        if case.find("failure") is not None or case.find("error") is not None
        else "skipped"
        if case.find("skipped") is not None
        else "passed"
        for case in found
    )
    # A crash or a timeout leaves a report without the case that it happened in.
    if not passed and not counts["failed"]:
        counts["failed"] = 1
    elif not counts:
        counts["passed"] = 1
    return counts


def summarize(events: Iterable[str], status: int) -> str:
    """The line to print.

    Parameters
    ----------
    events : iterable of str
        The lines of Bazel's build event file.
    status : int
        Bazel's exit status: other than 0 there is at least one failure.
    """
    # The last attempt of each test (of each of its shards) counts.
    runs: dict[tuple, tuple[str, bool]] = {}
    counts: Counter[str] = Counter()
    for line in events:
        event = json.loads(line)
        name = event.get("id", {}).get("testResult")
        if name and (result := event.get("testResult")):
            reports = [o["uri"] for o in result["testActionOutput"] if o["name"] == "test.xml"]
            runs[name["label"], name.get("shard", 1)] = (
                reports[0] if reports else "",
                result["status"] == "PASSED",
            )
        elif event.get("testSummary", {}).get("overallStatus") in ("NO_STATUS", "FAILED_TO_BUILD"):
            counts["failed"] += 1  # It did not build, so it did not run.
    for uri, passed in runs.values():
        counts += cases(_read(uri), passed)
    if status != 0 and not counts["failed"]:
        counts["failed"] = 1
    return ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped"))


def _read(uri: str) -> str:
    path = urllib.request.url2pathname(urllib.parse.urlparse(uri).path)
    try:
        with open(path, encoding="utf-8", errors="replace") as report:
            return report.read()
    except OSError:
        return ""


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(summarize(file, int(sys.argv[2])))
