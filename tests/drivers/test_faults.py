"""The fault points: they do nothing without a plan, and exactly what a plan says with one."""

import errno
import threading

import msgspec
import pytest

from pumice import faults

pytestmark = pytest.mark.fast


def test_without_a_plan_a_point_does_nothing() -> None:
    faults.point("file.create:made")


def test_the_nth_hit_of_a_matching_point_fails_and_no_other() -> None:
    plan = faults.Plan()
    plan.fail("file.*:made", ValueError("planned"), nth=2)
    with faults.planned(plan):
        faults.point("file.create:made")
        faults.point("rbd.create:made")
        with pytest.raises(ValueError, match="planned"):
            faults.point("file.clone:made")
        faults.point("file.create:made")
    assert plan.reached == ["file.create:made", "rbd.create:made", "file.clone:made", "file.create:made"]


def test_a_hang_holds_until_it_is_released() -> None:
    plan = faults.Plan()
    hang = plan.hang("x")
    passed = threading.Event()

    def walk() -> None:
        faults.point("x")
        passed.set()

    with faults.planned(plan):
        walker = threading.Thread(target=walk)
        walker.start()
        hang.wait_reached()
        assert not passed.is_set()
        hang.release()
        assert passed.wait(10)
        walker.join(10)


def test_the_end_of_a_plan_frees_whoever_hangs() -> None:
    plan = faults.Plan()
    hang = plan.hang("x")
    walker = threading.Thread(target=faults.point, args=("x",))
    with faults.planned(plan):
        walker.start()
        hang.wait_reached()
    walker.join(10)
    assert not walker.is_alive()
    faults.point("x")


def test_a_plan_from_json_fails_with_the_errno_it_names() -> None:
    with faults.planned(faults.parse('[{"point": "a", "action": "fail", "error": "ENOSPC", "nth": 0}]')):
        for _ in range(2):
            with pytest.raises(OSError, match="No space left") as caught:
                faults.point("a")
            assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "text", ['[{"point": "a", "action": "explode"}]', '[{"point": "a", "action": "fail", "error": "ENOTHING"}]', "{"]
)
def test_a_plan_that_says_nonsense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        faults.parse(text)
