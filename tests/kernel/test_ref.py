"""The short way of a tell into the mailbox, beside the long one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from aegis.kernel import Actor, Delivery, Level, Priority, message, on
from aegis.kernel.cell import Cell
from aegis.kernel.mailbox import Mailbox
from aegis.kernel.replay import Replay


@message(Priority.SYSTEM)
class Halt:
    number: int


@message(Priority.EXECUTION)
class Order:
    number: int


@message(Priority.ANALYSIS)
class Signal:
    number: int


@message(Priority.INGEST)
class Tick:
    number: int


@message(Priority.BACKGROUND)
class Chore:
    number: int


KINDS = (Halt, Order, Signal, Tick, Chore)


class Desk(Actor):
    """Has a level of each policy."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(3),
        Priority.ANALYSIS: Level.latest(lambda signal: signal.number % 3, capacity=2),
        Priority.INGEST: Level.drop_oldest(3),
        Priority.BACKGROUND: Level.reject(1),
    }

    @on(Halt)
    @on(Order)
    @on(Signal)
    @on(Tick)
    @on(Chore)
    def handle(self, each: object) -> None:
        """Do nothing."""


def figures(box: Mailbox) -> tuple[object, ...]:
    """Everything that can be seen of a mailbox."""
    return box.mask, box.depths(), box.peak, box.dropped, box.conflated, box.rejected


@given(st.lists(st.one_of(st.none(), st.sampled_from(KINDS))))
def test_tell_is_a_put(steps: list[type | None]) -> None:
    """A tell does what `put` does: the same deliveries, figures and wake-ups, and the same messages come out."""
    replay = Replay()
    by_tell, by_put = (Cell(replay, name, Desk) for name in ("tell", "put"))
    woken: list[str] = []
    for number, kind in enumerate(steps):
        for cell in (by_tell, by_put):
            if not cell.mailbox.mask and not cell.mailbox.is_attended:
                cell.mailbox.on_arrival(lambda name=cell.name: woken.append(name))  # type: ignore[misc]
        if kind is not None:
            each = kind(number)
            row = Desk.handlers[kind]
            delivery = by_put.mailbox.put(row.level, (each, row, None, 0))
            assert by_tell.ref.tell(each) is delivery
        elif by_put.mailbox.mask:
            assert by_tell.mailbox.pop() == by_put.mailbox.pop()
        assert figures(by_tell.mailbox) == figures(by_put.mailbox)
    assert woken.count("tell") == woken.count("put")


def test_tell_after_the_end() -> None:
    """No way into the mailbox that was found in an actor's life is open after it, for any type."""
    cell = Cell(Replay(), "desk", Desk)
    assert [cell.ref.tell(Order(number)) for number in range(2)] == [Delivery.OK] * 2
    cell.bury()
    assert [cell.ref.tell(kind(0)) for kind in KINDS] == [Delivery.DEAD] * 5
    assert cell.mailbox.depths() == [0] * 5
    assert cell.system.dead_letters == 7
