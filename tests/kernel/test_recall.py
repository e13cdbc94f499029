"""Questions that an actor's crash finds on their way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import ActorRestarting
from aegis.kernel import Actor, Level, Priority, Restart, message, on
from aegis.kernel.kit import open_kit


@message(Priority.EXECUTION)
class Question:
    number: int


class Narrow(Actor):
    """Has room for one question, and fails at each."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.EXECUTION: Level.block(1)}

    @on(Question)
    async def question(self, question: Question) -> None:
        await trio.sleep(1)
        raise ValueError(question.number)


@pytest.mark.trio
async def test_ask_that_waits_for_room_hears_of_the_crash(mock_clock: MockClock) -> None:
    """An asker whose question has not even found room is told of the crash as the others are."""
    told: list[tuple[int, float]] = []

    async with open_kit() as kit, trio.open_nursery() as nursery:
        narrow = await kit.spawn(Narrow, policy=Restart(backoff=5))

        async def ask(question: Question) -> None:
            with pytest.raises(ActorRestarting) as caught:
                await narrow.ask(question, timeout=60)
            assert caught.value.message == question
            told.append((question.number, trio.current_time()))

        for number in range(3):  # in hand, queued, waiting for room
            nursery.start_soon(ask, Question(number))
            await kit.settle()
        await kit.advance(1)
        assert sorted(told) == [(0, 1.0), (1, 1.0), (2, 1.0)]
        assert narrow.stats().recalled == 2
