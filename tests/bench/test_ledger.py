"""The table says what was measured, and a goal that was missed is not held."""

import pytest

from tests.bench.ledger import Figure, Ledger

pytestmark = pytest.mark.fast


def test_the_p99_is_the_worst_of_a_few_and_the_ninety_ninth_of_a_hundred() -> None:
    assert Figure("time", "ms", measured=[3, 1, 5, 2, 4]).p99 == 5
    assert Figure("time", "ms", measured=[float(number) for number in range(1, 101)]).p99 == 99
    assert Figure("rate", "1/s", at_least=True, measured=[3, 1, 5, 2, 4]).p99 == 1


def test_the_median_decides_whether_a_goal_is_held() -> None:
    ledger = Ledger()
    ledger.note("time", "ms", 1, 2, 40, goal=3)
    ledger.note("rate", "1/s", 1999, 1999, 4000, goal=2000, at_least=True)
    ledger.note("known", "ms", 7)
    assert ledger.missed == ["rate"]
    assert [line.split("|")[-2].strip() for line in ledger.table().splitlines()] == ["held", "----", "yes", "NO", ""]
