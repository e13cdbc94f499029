"""The mailbox: against a simple model, and the parts that need tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from trio.testing import wait_all_tasks_blocked

from aegis.errors import Broken, MailboxFull, Refused
from aegis.kernel import Delivery, Level, Priority
from aegis.kernel.actor import Handler
from aegis.kernel.level import Overflow
from aegis.kernel.mailbox import INTERRUPT, Envelope, Mailbox
from aegis.kernel.receipt import Reply

LEVELS = st.sampled_from(list(Priority))
LOWER = list(Priority)[1:]
HANDLER = Handler(lambda _actor, _message: None, int, level=0, ttl_ns=0, is_async=False)


def key(number: int) -> int:
    """The key of a message in a level that keeps the latest; a negative number has none."""
    if number < 0:
        raise ValueError(number)
    return number % 3


def envelope(number: int, reply: Reply | None = None) -> Envelope:
    """A message that is a number."""
    return (number, HANDLER, reply, 0)


@st.composite
def layouts(draw: st.DrawFn) -> dict[Priority, Level]:
    """Policies for some of the levels."""
    makers: list[Callable[[int], Level]] = [
        Level.block,
        Level.drop_oldest,
        Level.reject,
        lambda capacity: Level.latest(key, capacity=capacity),
    ]
    chosen = draw(st.sets(st.sampled_from(LOWER)))
    return {each: draw(st.sampled_from(makers))(draw(st.integers(1, 5))) for each in sorted(chosen)}


class MailboxMachine(RuleBasedStateMachine):
    """A mailbox does what five plain lists would do."""

    @initialize(levels=layouts())
    def make(self, levels: dict[Priority, Level]) -> None:
        self.box = Mailbox(levels)
        system = Level.block(1 << 62)
        self.levels = [system, *(levels.get(each, Level.block(1024)) for each in LOWER)]
        self.model: list[list[Envelope]] = [[] for _ in Priority]
        self.since_turn = 0
        self.turn = 0
        self.numbers = 0
        self.accepted = self.popped = self.lost = self.recalled = 0
        self.is_interrupted = False
        self.wakes = 0
        self.attended = False

    @rule(level=LEVELS, count=st.integers(1, 40), is_ask=st.booleans())
    def put(self, level: int, count: int, is_ask: bool) -> None:
        for _ in range(count):
            self.numbers += 1
            sent = envelope(self.numbers, Reply() if is_ask else None)
            assert self.box.put(level, sent) is self.model_put(level, sent)

    @rule(level=LEVELS)
    def put_without_key(self, level: int) -> None:
        if self.levels[level].overflow is Overflow.LATEST:
            assert self.box.put(level, envelope(-1)) is Delivery.REJECTED

    @rule(count=st.integers(1, 70))
    def pop(self, count: int) -> None:
        for _ in range(count):
            if not self.box.mask:
                break
            popped = self.box.pop()
            if popped[1] is INTERRUPT:
                assert self.is_interrupted
                self.is_interrupted = False
            else:
                assert not self.is_interrupted
                assert popped is self.model_pop()
                self.popped += 1

    @rule()
    def interrupt(self) -> None:
        self.box.interrupt()
        self.is_interrupted = True
        self.woken()

    @rule()
    def calm(self) -> None:
        self.box.calm()
        self.is_interrupted = False

    @rule()
    def recall(self) -> None:
        recalled = self.box.recall()
        model = [each for queue in self.model for each in queue if each[2] is not None]
        self.model = [[each for each in queue if each[2] is None] for queue in self.model]
        assert recalled == model
        self.recalled += len(recalled)

    @rule()
    def attend(self) -> None:
        if not self.box.mask and not self.attended:
            self.box.on_arrival(self.wake)
            self.attended = True

    def wake(self) -> None:
        self.wakes += 1

    def woken(self) -> None:
        """Something has arrived: a consumer that waited was woken, once."""
        assert self.wakes == int(self.attended)
        self.wakes = 0
        self.attended = False

    def model_put(self, number: int, sent: Envelope) -> Delivery:
        level, queue = self.levels[number], self.model[number]
        delivery = Delivery.OK
        same = [
            each
            for each in queue
            if level.overflow is Overflow.LATEST
            and sent[2] is None
            and each[2] is None
            and key(each[0]) == key(sent[0])
        ]
        if same:
            queue[queue.index(same[0])] = sent
            self.lost += 1
            self.accepted += 1
            return Delivery.CONFLATED
        if len(queue) == level.capacity:
            if level.overflow in (Overflow.BLOCK, Overflow.REJECT):
                return Delivery.REJECTED
            dropped = queue.pop(0)
            assert dropped[2] is None or isinstance(dropped[2], Reply)
            self.lost += 1
            delivery = Delivery.DROPPED_OLDEST
        queue.append(sent)
        self.accepted += 1
        self.woken()
        return delivery

    def model_pop(self) -> Envelope:
        waiting = [number for number, queue in enumerate(self.model) if queue]
        first = waiting[0]
        if first != 0 and len(waiting) > 1:
            self.since_turn += 1
            if self.since_turn == 32:
                self.since_turn = 0
                others = [number for number in waiting if number != first]
                first = next((each for each in others if each > self.turn), others[0])
                self.turn = first
        return self.model[first].pop(0)

    @invariant()
    def balances(self) -> None:
        box = self.box
        assert sum(box.dropped) + sum(box.conflated) == self.lost
        depths = [len(queue) for queue in self.model]
        assert box.depths() == [depths[0] + self.is_interrupted, *depths[1:]]
        assert self.accepted == self.popped + self.lost + self.recalled + sum(depths)

    @invariant()
    def agrees_on_work(self) -> None:
        busy = [number for number, depth in enumerate(self.box.depths()) if depth]
        assert self.box.mask == sum(1 << number for number in busy)
        assert all(
            peak <= level.capacity + 1
            for peak, level in zip(self.box.peak, self.levels, strict=True)
        )

    def teardown(self) -> None:
        left = self.box.close() if hasattr(self, "box") else []
        assert left == [each for queue in getattr(self, "model", []) for each in queue]


MailboxMachine.TestCase.settings = settings(max_examples=200, deadline=None)
TestMailboxMachine = MailboxMachine.TestCase


def test_mailbox_lets_no_level_starve() -> None:
    """With EXECUTION never empty, each lower level that holds something still gets its turns."""
    box = Mailbox({each: Level.block(2000) for each in LOWER})
    for level in LOWER:
        for number in range(1000):
            box.put(level, envelope(number))
    taken = dict.fromkeys(LOWER, 0)
    for _ in range(960):
        before = box.depths()
        box.pop()
        level = next(p for p in LOWER if box.depths()[p] < before[p])
        taken[level] += 1
        if level is Priority.EXECUTION:
            box.put(level, envelope(0))
    assert taken[Priority.EXECUTION] == 930
    assert [taken[level] for level in LOWER[1:]] == [10, 10, 10]


def test_mailbox_system_overtakes_everything() -> None:
    """A SYSTEM message that comes while others are taken is the very next, and never gives its turn away."""
    box = Mailbox({})
    for level in LOWER:
        for number in range(100):
            box.put(level, envelope(number))
    for number in range(100):
        box.pop()
        box.put(Priority.SYSTEM, envelope(number))
        box.put(Priority.SYSTEM, envelope(1000 + number))
        assert [box.pop()[0], box.pop()[0]] == [number, 1000 + number]


def test_mailbox_drops_an_ask_and_says_so() -> None:
    """An ask that has to make room fails, so that nobody waits for an answer that cannot come."""
    box = Mailbox({Priority.INGEST: Level.drop_oldest(1)})
    reply = Reply()
    box.put(Priority.INGEST, envelope(1, reply))
    assert box.put(Priority.INGEST, envelope(2)) is Delivery.DROPPED_OLDEST
    with pytest.raises(MailboxFull):
        reply.result()


def test_mailbox_has_one_consumer() -> None:
    """A second consumer, or one that waits although there is something to pop, is a bug that is found."""
    box = Mailbox({})
    box.on_arrival(lambda: None)
    with pytest.raises(Broken, match="one consumer"):
        box.on_arrival(lambda: None)
    box.put(1, envelope(1))
    with pytest.raises(Broken, match="empty mailbox"):
        box.on_arrival(lambda: None)


@pytest.mark.parametrize("capacity", [0, -1])
def test_level_without_room(capacity: int) -> None:
    """A level that could never take anything is refused."""
    with pytest.raises(Refused, match="at least one"):
        Level.block(capacity)


def test_level_with_a_key_of_no_use() -> None:
    """A key and the policy that needs it come together."""
    with pytest.raises(Refused, match="key"):
        Level(Overflow.LATEST, 1)
    with pytest.raises(Refused, match="key"):
        Level(Overflow.REJECT, 1, key)


async def put_all(box: Mailbox, numbers: range, deliveries: list[tuple[int, Delivery]]) -> None:
    """Put one after the other, and write down what became of each."""
    for number in numbers:
        delivery = await box.put_when_room(1, envelope(number))
        deliveries.append((number, delivery))


@pytest.mark.trio
async def test_blocked_senders_are_served_in_order() -> None:
    """Senders that wait for room get it in the order they came; nobody overtakes them with a put."""
    box = Mailbox({Priority.EXECUTION: Level.block(1)})
    deliveries: list[tuple[int, Delivery]] = []
    box.put(1, envelope(0))
    async with trio.open_nursery() as nursery:
        for number in range(1, 6):
            nursery.start_soon(put_all, box, range(number, number + 1), deliveries)
            await wait_all_tasks_blocked()
        for number in range(6):
            assert box.pop()[0] == number
            expected = Delivery.REJECTED if number < 5 else Delivery.OK
            assert box.put(1, envelope(99)) is expected
        await wait_all_tasks_blocked()
    assert sorted(deliveries) == [(number, Delivery.OK) for number in range(1, 6)]


@pytest.mark.trio
async def test_blocked_sender_gives_up() -> None:
    """A sender that is cancelled while it waits leaves nothing behind."""
    box = Mailbox({Priority.EXECUTION: Level.block(1)})
    box.put(1, envelope(0))
    deliveries: list[tuple[int, Delivery]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, box, range(1, 2), deliveries)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert box.pop()[0] == 0
    assert box.mask == 0
    assert deliveries == []


@pytest.mark.trio
async def test_blocked_sender_of_a_closed_mailbox() -> None:
    """A sender that waits when the mailbox is closed hears that nobody is there."""
    box = Mailbox({Priority.EXECUTION: Level.block(1)})
    box.put(1, envelope(0))
    deliveries: list[tuple[int, Delivery]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, box, range(1, 3), deliveries)
        await wait_all_tasks_blocked()
        assert [each[0] for each in box.close()] == [0]
    assert deliveries == [(1, Delivery.DEAD), (2, Delivery.DEAD)]


@pytest.mark.trio
async def test_blocked_sender_gets_the_room_of_a_recalled_ask() -> None:
    """Room that a recall makes goes to the sender that waited for it."""
    box = Mailbox({Priority.EXECUTION: Level.block(1)})
    box.put(1, envelope(0, Reply()))
    deliveries: list[tuple[int, Delivery]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, box, range(1, 2), deliveries)
        await wait_all_tasks_blocked()
        assert len(box.recall()) == 1
    assert deliveries == [(1, Delivery.OK)]
    assert box.pop()[0] == 1


@pytest.mark.trio
async def test_consumer_that_is_cancelled_can_be_replaced() -> None:
    """A consumer that is cancelled while parked is not woken any more, and another may wait."""
    box = Mailbox({})
    with trio.move_on_after(0):
        await box.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.wait)
        await wait_all_tasks_blocked()
        box.put(1, envelope(1))
    assert box.pop()[0] == 1
