"""Bounds are fair per member: one that floods the worker is refused while the others go on (invariant 9, M17)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.budget import Budget, BudgetLimits, EntryBudget

LIMITS = BudgetLimits(member_bytes=100, worker_bytes=150, member_calls=2, worker_calls=3)


def test_a_member_is_bounded_by_bytes() -> None:
    """The other still gets its share."""
    budget = Budget(LIMITS)

    assert budget.take_bytes("a", 100)
    assert not budget.take_bytes("a", 1)
    assert budget.take_bytes("b", 50)


def test_the_worker_is_bounded_by_bytes() -> None:
    """All members together."""
    budget = Budget(LIMITS)
    budget.take_bytes("a", 100)

    assert not budget.take_bytes("b", 51)


def test_calls_are_bounded_per_member_and_in_sum() -> None:
    """A refused call holds nothing."""
    budget = Budget(LIMITS)
    assert budget.take_call("a", 1)
    assert budget.take_call("a", 1)

    assert not budget.take_call("a", 1)
    assert budget.take_call("b", 1)
    assert not budget.take_call("c", 1)
    assert (budget.held_calls, budget.held_bytes) == (3, 3)


def test_a_call_too_large_is_not_held() -> None:
    """Neither as a call nor in part."""
    budget = Budget(LIMITS)

    assert not budget.take_call("a", 101)
    assert (budget.held_calls, budget.held_bytes) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=40))
def test_what_is_taken_and_given_back_leaves_nothing(taken: list[tuple[str, int]]) -> None:
    """And no bound is ever passed."""
    budget = Budget(LIMITS)
    held = []

    for member, size in taken:
        if budget.take_call(member, size):
            held.append((member, size))
        assert budget.held_bytes <= LIMITS.worker_bytes
        assert budget.held_calls <= LIMITS.worker_calls
    for member, size in held:
        budget.give_call(member, size)

    assert (budget.held_calls, budget.held_bytes) == (0, 0)
    assert budget.take_call("a", 100)


def test_refusals_of_one_member_are_logged_up_to_a_burst() -> None:
    """Then so many a second; the rest is summed."""
    budget = EntryBudget(per_s=2, burst=3)

    assert [budget.take("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert budget.take("b", 0)
    assert budget.take("a", 500_000)
    assert not budget.take("a", 500_000)
    assert budget.take_sums() == {"a": 3}
    assert budget.take_sums() == {}


@pytest.mark.parametrize("idle_s", [10, 3600])
def test_a_quiet_member_saves_no_more_than_the_burst(idle_s: int) -> None:
    """However long it was quiet."""
    budget = EntryBudget(per_s=2, burst=3)
    budget.take("a", 0)

    found = [budget.take("a", idle_s * 1_000_000) for _ in range(5)]

    assert found == [True, True, True, False, False]
