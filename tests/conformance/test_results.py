"""How the conformance run judges what Tempest reports."""

import pytest

from tests.conformance.__main__ import choose, listed, report
from tests.conformance.results import Result, judge

pytestmark = pytest.mark.fast

FIRST = "tempest.api.volume.test_volumes_get.VolumesGetTest.test_first"
SECOND = "tempest.api.volume.test_volumes_get.VolumesGetTest.test_second"


def test_a_test_that_reported_nothing_has_failed() -> None:
    assert judge([FIRST], []) == [Result(FIRST, "failed", "no result: the run ended before it")]


def test_a_class_that_could_not_be_set_up_counts_for_all_its_tests() -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1, in setUpClass\nValueError: no image'
    set_up = {"id": f"setUpClass ({FIRST.rpartition('.')[0]})", "status": "fail", "details": {"traceback": trace}}
    passed = {"id": f"{SECOND}[id-1,smoke]", "status": "success", "details": {}}
    assert judge([FIRST, SECOND], [set_up, passed]) == [
        Result(FIRST, "failed", "ValueError: no image"),
        Result(SECOND, "passed", ""),
    ]


def test_an_error_is_told_with_what_the_service_answered() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "x.py"\ntempest.lib.BadRequest: Bad request\nDetails: {"code": 400}'
    )
    failed = {"id": FIRST, "status": "fail", "details": {"traceback": trace}}
    assert judge([FIRST], [failed]) == [
        Result(FIRST, "failed", 'tempest.lib.BadRequest: Bad request Details: {"code": 400}')
    ]


def test_a_skip_counts_as_wrong_unless_it_is_upstreams_own(capsys: pytest.CaptureFixture[str]) -> None:
    skip = {"id": FIRST, "status": "skip", "details": {"reason": "no such feature"}}
    results = judge([FIRST], [skip])
    assert not report(results, missing=[], allowed=[])
    assert f"skipped: {FIRST}\n    no such feature" in capsys.readouterr().out
    assert report(results, missing=[], allowed=[FIRST])


def test_nothing_run_is_no_success() -> None:
    assert not report([], missing=[], allowed=[])


def test_a_listed_test_that_does_not_exist_is_wrong() -> None:
    assert not report([Result(FIRST, "passed", "")], missing=[SECOND], allowed=[])


def test_no_test_is_listed_twice() -> None:
    chosen = [*listed("tests.txt"), *listed("later.txt")]
    assert len(chosen) == len(set(chosen))


def test_a_module_is_run_whole_but_for_what_is_not_there_yet() -> None:
    there, later = "tempest.api.volume.test_new.NewTest.test_it", listed("later.txt")[0]
    elsewhere = "tempest.api.network.test_new.NewTest.test_it"
    assert choose([there, later, elsewhere]) == [*listed("tests.txt"), there]
