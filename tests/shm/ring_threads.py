"""Threads that use a ring of two slots as its writers and readers do, by the kernels' own source.

Record `s` is the two words `(s, s)`. Readers assert that what they accept is whole, in order, and counted.
"""

from __future__ import annotations

from kernel_threads import BELLS, CAPACITY, ENTRY, HEADER, SCRATCH, SLOTS, STRIDE, Kernels
from memory_model import PRIVATE, Thread, await_word, load, mortal, store, until

from aegis.shm import block, layout
from aegis.shm.layout import WORD, Standing

READER_BELL, WRITER_BELL = BELLS, BELLS + WORD
READ = 0x50000  # no word of the ring: says which record a reader has read in place
SECOND_LIFE = 100  # added to what a second writer writes


def private(offset: int) -> Thread:
    return (yield from load(PRIVATE + offset))


# ---- writers


def spinning(kernels: Kernels, count: int, extra: int = 0) -> Thread:
    while (done := (yield from private(block.NEXT))) < count:
        yield from kernels.put(PRIVATE, (done + 1 + extra, done + 1 + extra))


def checking(kernels: Kernels, count: int) -> Thread:
    """Asserts that a record is only overwritten after its reading, in the sense of the memory model.

    The explorer runs loads in program order, so it would not show a load that a processor delays beyond the
    cursor's store. This does: the reader's mark must have come with the cursor.
    """
    while (done := (yield from private(block.NEXT))) < count:
        if (yield from kernels.room(PRIVATE)) > 0:
            read = yield from load(READ)
            assert read > done - CAPACITY, (
                f"record {done + 1 - CAPACITY} was overwritten while it was read"
            )
            yield from kernels.put(PRIVATE, (done + 1, done + 1))


def evicting(kernels: Kernels, count: int) -> Thread:
    while (done := (yield from private(block.NEXT))) < count:
        if not (yield from kernels.put(PRIVATE, (done + 1, done + 1))):
            yield from store(ENTRY + layout.STANDING, Standing.EVICTED)


def in_batches(kernels: Kernels, count: int) -> Thread:
    while (done := (yield from private(block.NEXT))) < count:
        for offset in range(0, 4 * WORD, WORD):
            yield from store(SCRATCH + offset, done + 1 + offset // (2 * WORD))
        yield from kernels.put_many(PRIVATE, SCRATCH, min(2, count - done))


def showing(kernels: Kernels, count: int, *, rouses: bool = True) -> Thread:
    """Wakes whoever sleeps once, behind the last batch."""
    while (done := (yield from private(block.NEXT))) < count:
        for offset in range(0, 2 * WORD, WORD):
            yield from store(SCRATCH + offset, done + 1)
        yield from kernels.show_many(PRIVATE, SCRATCH, 1)
    if rouses:
        yield from kernels.rouse(PRIVATE)


def in_place(kernels: Kernels, count: int) -> Thread:
    while (done := (yield from private(block.NEXT))) < count:
        claimed = yield from kernels.reserve(PRIVATE, min(2, count - done))
        for record in range(done + 1, done + claimed + 1):
            slot = SLOTS + (record - 1) % CAPACITY * STRIDE
            yield from store(slot + WORD, record)
            yield from store(slot + 2 * WORD, record)
        yield from kernels.commit(PRIVATE, claimed)


def sleeping_for_room(kernels: Kernels, count: int) -> Thread:
    while (done := (yield from private(block.NEXT))) < count:
        written = yield from kernels.put(PRIVATE, (done + 1, done + 1))
        if not written and (yield from kernels.ask_room(PRIVATE, 1)) <= 0:
            yield from await_word(WRITER_BELL)


def finishing(kernels: Kernels, count: int) -> Thread:
    yield from spinning(kernels, count)
    yield from kernels.finish(PRIVATE)


def replaced(kernels: Kernels, count: int, *, trusts_pub: bool = False) -> Thread:
    """A writer that is killed anywhere, and the next one, which goes on behind the last whole record."""
    yield from mortal(spinning(kernels, count))
    newest = yield from load(HEADER + layout.PUB)
    for slot in () if trusts_pub else range(SLOTS, SLOTS + CAPACITY * STRIDE, STRIDE):
        begin = yield from load(slot)
        end = yield from load(slot + STRIDE - WORD)
        newest = max(newest, end) if begin == end else newest
    yield from store(HEADER + layout.PUB, newest)
    yield from store(PRIVATE + block.NEXT, newest)
    yield from store(PRIVATE + block.LIMIT, newest)
    yield from spinning(kernels, count, SECOND_LIFE)


# ---- readers


def accept(first: int, words: tuple[int, ...]) -> None:
    for index in range(0, len(words), 2):
        record = first + index // 2
        assert words[index] == words[index + 1], f"record {record} is torn"
        assert words[index] % SECOND_LIFE == record, f"record {record} holds {words[index]}"


def walk_once(kernels: Kernels) -> Thread:
    taken = yield from kernels.walk(PRIVATE, SCRATCH, 2)
    words: tuple[int, ...] = ()
    for offset in range(0, taken * 2 * WORD, WORD):
        word = yield from load(SCRATCH + offset)
        words += (word,)
    position = yield from private(block.NEXT)
    accept(position - taken + 1, words)
    return taken


def copying(kernels: Kernels, count: int, tries: int = 0, *, lossless: bool = False) -> Thread:
    """Takes copies until it has come to `count`, or for `tries` looks, which need not find the newest."""
    total = tried = lost = position = 0
    while position < count and (not tries or tried < tries):
        if tries:
            tried += 1
        else:
            yield from until(HEADER + layout.PUB, position + 1)
        taken = yield from walk_once(kernels)
        total += taken
        position = yield from private(block.NEXT)
        lost = yield from private(block.LOST_SO_FAR)
        assert total + lost == position, "a record was neither taken nor counted as lost"
    assert not (lossless and lost), "a gating reader lost a record"


def looking(kernels: Kernels, count: int, tries: int = 0, *, lossless: bool = False) -> Thread:
    """Reads in place, otherwise like `copying`."""
    total = tried = lost = position = 0
    while position < count and (not tries or tried < tries):
        if tries:
            tried += 1
        else:
            yield from until(HEADER + layout.PUB, position + 1)
        ready = yield from kernels.ready(PRIVATE)
        position = yield from private(block.NEXT)
        words: tuple[int, ...] = ()
        for record in range(position, position + ready):
            slot = SLOTS + record % CAPACITY * STRIDE
            one = yield from load(slot + WORD)
            other = yield from load(slot + 2 * WORD)
            words += (one, other)
        kept = yield from kernels.release(PRIVATE, ready)
        if kept:
            accept(position + 1, words)
        total += kept
        position += ready
        lost = yield from private(block.LOST_SO_FAR)
        assert total + lost == position, "a record was neither kept nor counted as lost"
    assert not (lossless and lost), "a gating reader lost a record"


def marking(kernels: Kernels, count: int) -> Thread:
    """Says which record it has read, in a word that carries no ordering of its own; see `checking`."""
    position = 0
    while position < count:
        yield from until(HEADER + layout.PUB, position + 1)
        ready = yield from kernels.ready(PRIVATE)
        for record in range(position + 1, position + ready + 1):
            yield from store(READ, record)
        yield from kernels.release(PRIVATE, ready)
        position += ready


def joining(kernels: Kernels, count: int) -> Thread:
    first = yield from kernels.join(PRIVATE, Standing.GATING, 0, True)
    position = first
    while position < count:
        yield from walk_once(kernels)
        position = yield from private(block.NEXT)
    assert (yield from private(block.LOST_SO_FAR)) == 0, "a gating reader lost a record"


def sleeping(kernels: Kernels, count: int) -> Thread:
    position = 0
    while position < count:
        if not (yield from walk_once(kernels)) and not (yield from kernels.arm(PRIVATE)):
            yield from await_word(READER_BELL)
        position = yield from private(block.NEXT)


def to_the_end(kernels: Kernels, count: int) -> Thread:
    armed = 0
    while armed >= 0:
        if not (yield from walk_once(kernels)):
            armed = yield from kernels.arm(PRIVATE)
            if armed == 0:
                yield from await_word(READER_BELL)
    assert (yield from private(block.NEXT)) == count, "the end came before the last record"
