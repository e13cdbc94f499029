"""Thousands of crashes in random orders, and the same order in every process."""

from __future__ import annotations

import logging
import random
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from aegis.errors import ActorDead, ActorRestarting
from aegis.kernel import (
    ALL_FOR_ONE,
    ONE_FOR_ONE,
    REST_FOR_ONE,
    Actor,
    ActorRef,
    Delivery,
    Priority,
    Restart,
    message,
    on,
)
from aegis.kernel.clock import seeded_random
from aegis.kernel.kit import Kit, open_kit

SCHEDULES = 2000


@message(Priority.EXECUTION)
class Job:
    number: int


@message(Priority.INGEST)
class Chore:
    number: int


@message(Priority.ANALYSIS)
class Question:
    number: int


@message(Priority.BACKGROUND)
class Beat:
    pass


@attrs.define
class Book:
    """What happened in one schedule."""

    handled: list[int] = attrs.Factory(list)
    culprits: set[int] = attrs.Factory(set)
    living: dict[str, int] = attrs.Factory(dict)
    tasks: int = 0
    is_calm: bool = True
    most_living: int = 0


class Clerk(Actor):
    """Fails at any point with some chance: while it is made, starts, works, waits or says its last word."""

    def __init__(self, name: str, book: Book, chance: random.Random, risk: float) -> None:
        self.name = name
        self.book = book
        self.chance = chance
        self.risk = risk
        self.has_begun = False
        self.may_fail("made")

    def may_fail(self, where: str) -> None:
        if not self.book.is_calm and self.chance.random() < self.risk:
            raise ValueError(f"{self.name} {where}")

    async def started(self) -> None:
        self.book.living[self.name] = self.book.living.get(self.name, 0) + 1
        self.book.most_living = max(self.book.most_living, self.book.living[self.name])
        self.has_begun = True
        self.ctx.every("beat", 0.5, Beat())
        self.ctx.start_soon(self.idle)
        await trio.sleep(self.chance.choice([0, 0.01]))
        self.may_fail("started")

    async def idle(self) -> None:
        self.book.tasks += 1
        try:
            await trio.sleep(self.chance.choice([0.1, 2]))
            self.may_fail("idle")
        finally:
            self.book.tasks -= 1

    async def stopping(self, reason: object) -> None:
        await trio.sleep(self.chance.choice([0, 0.02]))
        if self.has_begun:
            self.book.living[self.name] -= 1
        self.may_fail("stopping")

    @on(Job)
    async def job(self, job: Job) -> None:
        self.book.culprits.add(job.number)
        await trio.sleep(self.chance.choice([0, 0, 0.01]))
        self.work(job.number)

    @on(Chore)
    def chore(self, chore: Chore) -> None:
        self.work(chore.number)

    def work(self, number: int) -> None:
        self.book.culprits.add(number)
        self.may_fail("working")
        self.book.culprits.remove(number)
        self.book.handled.append(number)

    @on(Question)
    async def question(self, question: Question) -> int:
        self.may_fail("asked")
        return question.number

    @on(Beat)
    def beat(self, beat: Beat) -> None: ...


class Office:
    """A group of clerks under a random load."""

    def __init__(self, number: int, kit: Kit, book: Book) -> None:
        self.number = number
        self.kit = kit
        self.book = book
        self.chance = seeded_random(number)
        self.refs: list[ActorRef] = []
        self.accepted: dict[int, ActorRef] = {}
        self.asked = self.answered = 0

    async def open(self) -> None:
        """Start the clerks; they begin to fail only when all are there."""
        # The budget is never exhausted: what is under test is that nothing is lost on the way.
        policy = Restart(max_restarts=10_000, within=1, backoff=0.01, ceiling=0.1)
        strategy = self.chance.choice([ONE_FOR_ONE, REST_FOR_ONE, ALL_FOR_ONE])
        group = await self.kit.system.group("clerks", strategy=strategy)
        for name in ("a", "b", "c"):
            luck = seeded_random(f"{self.number}{name}")
            risk = self.chance.uniform(0, 0.3)
            self.refs.append(
                await group.spawn(Clerk, name, self.book, luck, risk, name=name, policy=policy)
            )
        self.book.is_calm = False

    async def work(self) -> None:
        """Tell, ask, now and then let time pass, and sometimes stop one for good."""
        async with trio.open_nursery() as nursery:
            for number in range(12):
                ref = self.chance.choice(self.refs)
                kind = self.chance.choice([Job, Job, Chore, Question])
                if kind is Question:
                    self.asked += 1
                    nursery.start_soon(self.ask, ref, number)
                elif ref.tell(kind(number)) is Delivery.OK:
                    self.accepted[number] = ref
                if self.chance.random() < 0.3:
                    await self.kit.advance(self.chance.choice([0, 0.005, 0.05]))
            if self.chance.random() < 0.3:
                nursery.start_soon(self.chance.choice(self.refs).stop)
            await self.kit.advance(3)

    async def ask(self, ref: ActorRef, number: int) -> None:
        """Ask, and get either the answer or the question back."""
        try:
            assert await ref.ask(Question(number), timeout=2) == number
        except (ActorRestarting, ActorDead) as error:
            assert error.message == Question(number)  # noqa: PT017  # either outcome is right
        self.answered += 1

    def check(self) -> None:
        """Everything adds up."""
        book = self.book
        assert self.answered == self.asked
        seen = sorted([*book.handled, *book.culprits])
        lost = [number for number in self.accepted if number not in seen]
        assert sorted([*seen, *lost]) == sorted(self.accepted), "handled twice, or from nowhere"
        assert not any(self.accepted[number].alive for number in lost)
        assert book.most_living == 1
        stats = [ref.stats() for ref in self.refs]
        assert all(sum(each.depth) == 0 for each in stats)
        assert sum(each.handled + each.failed for each in stats) == len(self.kit.trace)


async def one_schedule(number: int) -> None:
    """Open, work, check; afterwards nothing is left."""
    book = Book()
    async with open_kit(order=number) as kit:
        office = Office(number, kit, book)
        await office.open()
        await office.work()
        office.check()
    assert book.tasks == 0
    assert set(book.living.values()) == {0}


def run(async_function: Any, *args: Any) -> Any:
    """A Trio run on a virtual clock, which leaves no task behind or fails."""
    return trio.run(async_function, *args, clock=MockClock())


@pytest.mark.parametrize("first", range(0, SCHEDULES, 250))
def test_crash_schedules(first: int, caplog: pytest.LogCaptureFixture) -> None:
    """In two thousand random schedules no message is lost, no task stays, and no two incarnations live at once."""
    # Thousands of crashes are logged, each with its traceback, which would take a third of the time.
    caplog.set_level(logging.CRITICAL, logger="aegis.kernel")
    for number in range(first, first + 250):
        run(one_schedule, number)
