"""Restart budgets: how long each restart waits, and that nobody pays for another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from aegis.kernel import ESCALATE, STOP, Actor, ManualClock, Priority, Restart, message, on
from aegis.kernel.clock import seeded_random
from aegis.kernel.kit import open_kit
from aegis.kernel.supervisor import Budget

SECOND = 1_000_000_000


@message(Priority.EXECUTION)
class Crash:
    pass


class Fragile(Actor):
    @on(Crash)
    def crash(self, crash: Crash) -> None:
        raise ValueError


def waits(policy: Restart, seed: int, failures: int) -> list[float]:
    """The seconds before each restart, for failures at one and the same time."""
    budget = Budget(policy, ManualClock(), seeded_random(seed))
    return [wait for _ in range(failures) if isinstance(wait := budget.charge(), float)]


@given(seed=st.integers(), backoff=st.floats(0, 1), ceiling=st.floats(1, 10))
def test_backoff_doubles_with_jitter(seed: int, backoff: float, ceiling: float) -> None:
    """Each wait is between half and all of twice the one before, up to the ceiling."""
    policy = Restart(max_restarts=12, backoff=backoff, ceiling=ceiling)
    found = waits(policy, seed, 12)
    assert len(found) == 12
    for number, wait in enumerate(found):
        full = min(ceiling, backoff * 2**number)
        assert full / 2 <= wait <= full


def test_a_budget_of_thousands_waits_the_ceiling() -> None:
    """However often it has doubled: a peer may be away for hours."""
    assert all(2.5 <= wait <= 5.0 for wait in waits(Restart(max_restarts=3000), 1, 3000)[10:])
    policy = Restart(max_restarts=3000, backoff=0.0)
    assert set(waits(policy, 1, 3000)) == {0.0}


def test_jitter_comes_from_the_seed() -> None:
    """The same seed gives the same waits, and another one others."""
    policy = Restart(max_restarts=5)
    assert waits(policy, 1, 5) == waits(policy, 1, 5)
    assert not set(waits(policy, 1, 5)) & set(waits(policy, 2, 5))


@given(pauses_s=st.lists(st.integers(0, 12), max_size=40), most=st.integers(1, 5))
def test_budget_counts_what_is_recent(pauses_s: list[int], most: int) -> None:
    """A failure escalates exactly when there are more than the budget within its time, that one included."""
    clock = ManualClock()
    budget = Budget(Restart(max_restarts=most, within=10.0), clock, seeded_random(0))
    times_s: list[int] = []
    for pause_s in pauses_s:
        clock.move_to(clock.monotonic_ns() + pause_s * SECOND)
        times_s.append(clock.monotonic_ns() // SECOND)
        recent = [each for each in times_s if times_s[-1] - each <= 10]
        assert (budget.charge() is ESCALATE) is (len(recent) > most)


def test_backoff_begins_anew() -> None:
    """When the failures before it are forgotten, a restart waits no longer than the first."""
    clock = ManualClock()
    policy = Restart(max_restarts=5, within=10.0, backoff=1.0, ceiling=60.0)
    budget = Budget(policy, clock, seeded_random(0))
    burst = [budget.charge() for _ in range(4)]
    clock.move_to(11 * SECOND)
    assert [isinstance(each, float) and each >= 2.0 for each in burst] == [False, False, True, True]
    calm = budget.charge()
    assert isinstance(calm, float)
    assert calm <= 1.0


@pytest.mark.parametrize("policy", [ESCALATE, STOP])
def test_policy_without_restarts(policy: object) -> None:
    """Where nothing is restarted, the policy itself is the verdict."""
    assert Budget(policy, ManualClock(), seeded_random(0)).charge() is policy  # type: ignore[arg-type]


@pytest.mark.trio
async def test_budget_is_the_childs_own(mock_clock: MockClock) -> None:
    """A burst of failures in one actor uses up nothing of its siblings' budgets."""
    async with open_kit() as kit:
        group = await kit.system.group("g")
        policy = Restart(max_restarts=3, within=60)
        refs = [await group.spawn(Fragile, name=f"f{n}", policy=policy) for n in range(5)]
        for ref in refs:
            for _ in range(3):
                ref.tell(Crash())
        await kit.advance(30)
        assert [ref.stats().restarts for ref in refs] == [3] * 5
        assert all(ref.alive for ref in refs)
