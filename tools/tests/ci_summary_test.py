"""The line that .ci/run ends with."""

import json

import pytest

from tools.ci_summary import summarize

PYTEST = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"/>
<testcase name="c"><skipped message="no GPU"/></testcase>
{extra}</testsuite></testsuites>"""
PASSING = PYTEST.format(extra="")
FAILING = PYTEST.format(extra='<testcase name="d"><failure message="no"/></testcase>')


@pytest.fixture
def result(tmp_path):
    """Makes the build event of a finished test run."""

    def make(label, report, status="PASSED", shard=1):
        path = tmp_path / f"{label.strip('/')} {shard} {status}.xml"
        path.write_text(report)
        outputs = [{"name": "test.xml", "uri": path.as_uri()}]
        return json.dumps(
            {
                "id": {"testResult": {"label": label, "run": 1, "shard": shard, "attempt": 1}},
                "testResult": {"status": status, "testActionOutput": outputs},
            }
        )

    return make


def test_counts_cases_of_all_tests_and_shards(result):
    events = [
        result("//a", PASSING),
        result("//b", PASSING, shard=1),
        result("//b", PASSING, shard=2),
        json.dumps({"id": {"pattern": {}}, "children": []}),
    ]
    assert summarize(events, 0) == "6 passed, 0 failed, 3 skipped"


def test_failed_case(result):
    assert summarize([result("//a", FAILING, "FAILED")], 3) == "2 passed, 1 failed, 1 skipped"


@pytest.mark.parametrize("report", ["", "not XML", PASSING])
def test_crash_is_a_failure_whatever_the_report_says(result, report):
    assert ", 1 failed, " in summarize([result("//a", report, "TIMEOUT")], 3)


def test_passing_test_without_a_report_is_one_case(result):
    assert summarize([result("//a", "")], 0) == "1 passed, 0 failed, 0 skipped"


def test_last_attempt_counts(result):
    events = [result("//a", FAILING, "FAILED"), result("//a", PASSING)]
    assert summarize(events, 0) == "2 passed, 0 failed, 1 skipped"


def test_test_that_did_not_build():
    summary = json.dumps({"id": {}, "testSummary": {"overallStatus": "NO_STATUS"}})
    assert summarize([summary], 1) == "0 passed, 1 failed, 0 skipped"


def test_a_build_that_failed_is_never_clean():
    assert summarize([], 1) == "0 passed, 1 failed, 0 skipped"
