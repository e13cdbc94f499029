"""A reader's half of the protocol, for compiled code: `walk` takes records out.

These functions are compiled into whatever calls them; the first argument is always the handle of a reader (see
`block`). Every reader checks what it has read, whatever its policy: a gating one may have been evicted meanwhile.

    end == s (acquire)? -> copy -> fence -> begin == s? else it was overwritten meanwhile
"""

from __future__ import annotations

from aegis.compiled import inlined
from aegis.shm.atomics import (
    add_bits,
    copy_out,
    exchange,
    fence_acquire,
    fence_total,
    load_acquire,
    load_relaxed,
    pause,
    store_relaxed,
    store_release,
)
from aegis.shm.block import (
    BIT,
    ENTRY_AT,
    GATING,
    HEADER_AT,
    ITEM,
    LIMIT,
    LOST_SO_FAR,
    MASK,
    NEXT,
    PAID,
    SLOTS_AT,
    STRIDE,
    TABLE_AT,
    WRITER_FD,
)
from aegis.shm.handle import asking_for, signal, slot_of
from aegis.shm.layout import CURSOR, LOST, PUB, ROOM, STANDING, STATE, WAITERS, WORD, State
from aegis.shm.sequence import forward, since

__all__ = ["arm", "join", "ready", "release", "spin", "walk", "walk_sized"]

_FINISHED = int(State.FINISHED)
_SKIPS = 4  # a writer that laps us for ever must not hold us in one call


@inlined
def walk(handle: int, destination: int, limit: int) -> int:
    """Copy up to `limit` new records to the address `destination`, packed; return how many.

    What was overwritten before it could be copied is skipped and counted in the block's `LOST_SO_FAR`. Copied
    records follow each other without a gap: a gap ends the batch, and the next call starts behind it.
    """
    item = load_relaxed(handle + ITEM)
    stride = load_relaxed(handle + STRIDE)
    return walk_sized(handle, destination, limit, item, stride)


@inlined
def walk_sized(handle: int, destination: int, limit: int, item: int, stride: int) -> int:
    """`walk` with the sizes of a record and a slot, which the caller may know when it is compiled."""
    done = load_relaxed(handle + NEXT)
    slots = load_relaxed(handle + SLOTS_AT)
    mask = load_relaxed(handle + MASK)
    copied = 0
    skips = 0
    while copied < limit and skips < _SKIPS:
        slot = slots + (done & mask) * stride
        stamp = load_acquire(slot + stride - WORD)
        sequence = forward(done, 1)
        if since(stamp, sequence) < 0:
            break  # not written yet
        if stamp == sequence:
            target = destination + copied * item
            for offset in range(0, item, WORD):
                copy_out(target + offset, slot + WORD + offset)
            fence_acquire()
            if load_relaxed(slot) == sequence:
                copied += 1
                done = sequence
                continue
        if copied > 0:
            break
        done = _skip(handle, done, stamp)
        skips += 1
    if done != load_relaxed(handle + NEXT):
        _give_back(handle, done)
    return copied


@inlined
def ready(handle: int) -> int:
    """How many records can be read now, at least; a reader that was overtaken moves on first.

    While nothing is new it touches only the next slot's line, never that of PUB, which the writer would then miss.
    """
    done = load_relaxed(handle + NEXT)
    stamp = load_acquire(slot_of(handle, done) + load_relaxed(handle + STRIDE) - WORD)
    if since(stamp, forward(done, 1)) < 0:
        return 0
    if stamp != forward(done, 1):
        done = _skip(handle, done, stamp)
        _give_back(handle, done)
    limit = load_relaxed(handle + LIMIT)
    if since(limit, done) <= 0:
        limit = load_acquire(load_relaxed(handle + HEADER_AT) + PUB)
        if since(limit, done) <= 0:
            limit = forward(done, 1)  # complete, but the writer has yet to move PUB
        store_relaxed(handle + LIMIT, limit)
    return since(limit, done)


@inlined
def spin(handle: int, spins: int) -> int:
    """Look up to `spins` times for a new record; return how many can be read. Notes when it came during the spin."""
    done = load_relaxed(handle + NEXT)
    stamp_at = slot_of(handle, done) + load_relaxed(handle + STRIDE) - WORD
    for turn in range(spins):
        if since(load_relaxed(stamp_at), done) > 0:
            if turn > 0:
                store_relaxed(handle + PAID, 1)
            break
        pause()
    return ready(handle)


@inlined
def arm(handle: int) -> int:
    """Announce a sleep, then look again: how many records can be read, 0 if it is safe to sleep, -1 at the end."""
    add_bits(load_relaxed(handle + TABLE_AT) + WAITERS, load_relaxed(handle + BIT))
    fence_total()
    finished = load_acquire(load_relaxed(handle + HEADER_AT) + STATE) == _FINISHED
    count = ready(handle)
    if count == 0 and finished:
        return -1
    return count


@inlined
def release(handle: int, count: int) -> int:
    """Be done with `count` records that were read in place; return how many of them were intact, all or none.

    The writer overwrites in order, so as long as the first is whole, all are. Returns -1, and does nothing, for
    more records than were ready.
    """
    done = load_relaxed(handle + NEXT)
    if count == 0:
        return 0
    if count < 0 or since(forward(done, count), load_relaxed(handle + LIMIT)) > 0:
        return -1
    fence_acquire()
    intact = count if load_relaxed(slot_of(handle, done)) == forward(done, 1) else 0
    if intact != count:
        _count_lost(handle, count)
    _give_back(handle, forward(done, count))
    return intact


@inlined
def _give_back(handle: int, done: int) -> None:
    """Move the cursor, and wake a writer that waits for it."""
    store_relaxed(handle + NEXT, done)
    store_release(load_relaxed(handle + ENTRY_AT) + CURSOR, done)
    if load_relaxed(handle + GATING) == 0:
        return
    fence_total()  # pairs with the one in `room`: either the writer sees this cursor, or we see it asking
    asked_at = load_relaxed(handle + TABLE_AT) + ROOM
    asked = load_relaxed(asked_at)
    if asked != 0 and since(asking_for(done), asked) >= 0 and exchange(asked_at, 0) != 0:
        signal(handle, load_relaxed(handle + WRITER_FD))


@inlined
def join(handle: int, standing: int, start: int, newest: bool) -> int:
    """Enter the reader table; return the position reading starts from: `start`, or with `newest` PUB.

    PUB is read a second time after the entry can be seen: a writer that looked before that, and so does not know
    of this reader, had published no more than what this second look finds. The first cursor may be too old, which
    is safe.
    """
    entry = load_relaxed(handle + ENTRY_AT)
    pub_at = load_relaxed(handle + HEADER_AT) + PUB
    store_relaxed(entry + CURSOR, load_relaxed(pub_at) if newest else start)
    store_relaxed(entry + STANDING, standing)
    fence_total()  # pairs with the one in `room`
    if newest:
        start = load_relaxed(pub_at)
        store_relaxed(entry + CURSOR, start)
    store_relaxed(handle + NEXT, start)
    store_relaxed(handle + LIMIT, start)
    return start


@inlined
def _skip(handle: int, done: int, newest: int) -> int:
    """Where to go on after record `done + 1` was overwritten: half a ring behind the newest complete record.

    `newest` is one that is known to be complete. Half a ring, because the oldest record left would be
    overwritten again before it could be read.
    """
    published = load_relaxed(load_relaxed(handle + HEADER_AT) + PUB)
    if since(published, newest) > 0:
        newest = published
    landing = forward(newest, -((load_relaxed(handle + MASK) + 1) // 2))
    if since(landing, done) <= 0:
        landing = forward(done, 1)
    _count_lost(handle, since(landing, done))
    return landing


@inlined
def _count_lost(handle: int, count: int) -> None:
    lost = load_relaxed(handle + LOST_SO_FAR) + count
    store_relaxed(handle + LOST_SO_FAR, lost)
    store_relaxed(load_relaxed(handle + ENTRY_AT) + LOST, lost)
