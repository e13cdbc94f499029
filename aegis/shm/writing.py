"""The writer's half of the protocol, for compiled code: `put` writes a record.

A writer that has more to do first may `show_many` and `rouse` when it is done: whom it wakes may take the core it is on.

These functions are compiled into whatever calls them; the first argument is always the handle of a writer (see
`block`). The orderings are the weakest that the model checker in `tests/shm` accepts; docs/ring.md gives the
reason for each.

    room? -> begin = s -> fence -> payload -> end = s (release) -> PUB = s (release) -> fence -> sleepers?
"""

from __future__ import annotations

from typing import Any

from aegis.compiled import inlined
from aegis.shm.atomics import (
    copy_in,
    exchange,
    fence_release,
    fence_total,
    load_acquire,
    load_relaxed,
    pause,
    store_relaxed,
    store_release,
    store_words,
)
from aegis.shm.block import (
    HEADER_AT,
    ITEM,
    LIMIT,
    MASK,
    NEXT,
    SLOTS_AT,
    STALLED,
    STRIDE,
    TABLE_AT,
    WAKE_FDS,
)
from aegis.shm.handle import asking_for, signal, slot_of
from aegis.shm.layout import (
    CURSOR,
    ENTRIES,
    ENTRY_BYTES,
    PUB,
    READERS_MAX,
    ROOM,
    STALLS,
    STANDING,
    STATE,
    WAITERS,
    WORD,
    Standing,
    State,
)
from aegis.shm.sequence import forward, since

__all__ = [
    "ask_room",
    "commit",
    "finish",
    "put",
    "put_many",
    "put_sized",
    "reserve",
    "room",
    "rouse",
    "show_many",
    "show_sized",
    "spin_room",
]

_GATING = int(Standing.GATING)
_FINISHED = int(State.FINISHED)


@inlined
def put(handle: int, words: tuple[Any, ...]) -> bool:
    """Write one record: a tuple of one int64, uint64 or float64 for each of its 8-byte words.

    Returns False, and writes nothing, when a gating reader is a whole ring behind.
    """
    done = load_relaxed(handle + NEXT)
    if _admit(handle, done, 1) == 0:
        return False
    slot = slot_of(handle, done)
    sequence = forward(done, 1)
    store_relaxed(slot, sequence)
    fence_release()
    store_words(slot + WORD, words)
    store_release(slot + load_relaxed(handle + STRIDE) - WORD, sequence)
    _publish(handle, sequence)
    return True


@inlined
def put_many(handle: int, source: int, count: int) -> int:
    """Write up to `count` packed records from the address `source`; return how many found room.

    Each record can be read as soon as it is complete; readers asleep are woken once, at the end.
    """
    item = load_relaxed(handle + ITEM)
    stride = load_relaxed(handle + STRIDE)
    return put_sized(handle, source, count, item, stride)


@inlined
def put_sized(handle: int, source: int, count: int, item: int, stride: int) -> int:
    """`put_many` with the sizes of a record and a slot, which the caller may know when it is compiled."""
    count = show_sized(handle, source, count, item, stride)
    if count > 0:
        rouse(handle)
    return count


@inlined
def show_many(handle: int, source: int, count: int) -> int:
    """`put_many` that wakes nobody: `rouse` has to follow, soon, or readers sleep on until their nap is over."""
    item = load_relaxed(handle + ITEM)
    stride = load_relaxed(handle + STRIDE)
    return show_sized(handle, source, count, item, stride)


@inlined
def show_sized(handle: int, source: int, count: int, item: int, stride: int) -> int:
    """`show_many` with the sizes of a record and a slot."""
    done = load_relaxed(handle + NEXT)
    slots = load_relaxed(handle + SLOTS_AT)
    mask = load_relaxed(handle + MASK)
    count = _admit(handle, done, count)
    for index in range(count):
        slot = slots + (forward(done, index) & mask) * stride
        sequence = forward(done, index + 1)
        store_relaxed(slot, sequence)
        fence_release()
        for offset in range(0, item, WORD):
            copy_in(slot + WORD + offset, source + index * item + offset)
        store_release(slot + stride - WORD, sequence)
    if count > 0:
        _show(handle, forward(done, count))
    return count


@inlined
def rouse(handle: int) -> None:
    """Wake the readers that sleep and have not seen the last record."""
    fence_total()  # pairs with the one in `arm`: either the sleeper is seen here, or it sees the record
    if load_relaxed(load_relaxed(handle + TABLE_AT) + WAITERS) != 0:
        _wake(handle)


@inlined
def reserve(handle: int, count: int) -> int:
    """Open up to `count` next slots for writing in place; return how many."""
    done = load_relaxed(handle + NEXT)
    count = _admit(handle, done, count)
    for index in range(count):
        store_relaxed(slot_of(handle, forward(done, index)), forward(done, index + 1))
    fence_release()
    return count


@inlined
def commit(handle: int, count: int) -> None:
    """Publish the first `count` of the slots that are open."""
    done = load_relaxed(handle + NEXT)
    stride = load_relaxed(handle + STRIDE)
    for index in range(count):
        slot = slot_of(handle, forward(done, index))
        store_release(slot + stride - WORD, forward(done, index + 1))
    if count > 0:
        _publish(handle, forward(done, count))


@inlined
def room(handle: int) -> int:
    """Look at every gating cursor; return how many records may be written now."""
    done = load_relaxed(handle + NEXT)
    entries = load_relaxed(handle + TABLE_AT) + ENTRIES
    lowest = done
    fence_total()  # pairs with the one in `join`: either the newcomer is seen here, or it sees what is published
    for index in range(READERS_MAX):
        entry = entries + index * ENTRY_BYTES
        if load_relaxed(entry + STANDING) == _GATING:
            cursor = load_acquire(entry + CURSOR)
            if since(cursor, lowest) < 0:
                lowest = cursor
    limit = forward(lowest, load_relaxed(handle + MASK) + 1)
    store_relaxed(handle + LIMIT, limit)
    return since(limit, done)


@inlined
def spin_room(handle: int, wanted: int, spins: int) -> int:
    """Look for room for `wanted` records up to `spins` times; return the room there is."""
    free = room(handle)
    for _ in range(spins):
        if free >= wanted:
            break
        pause()
        free = room(handle)
    return free


@inlined
def ask_room(handle: int, wanted: int) -> int:
    """Ask to be woken when there is room for `wanted` records, then look again: return the room there is."""
    needed = forward(load_relaxed(handle + NEXT), wanted - load_relaxed(handle + MASK) - 1)
    store_relaxed(load_relaxed(handle + TABLE_AT) + ROOM, asking_for(needed))
    return room(handle)  # which begins with the fence that this needs


@inlined
def finish(handle: int) -> None:
    """Say that no record follows, and wake everybody."""
    # Relaxed: the fence of the last publish comes before (whoever has shown records has roused by now), and the exchange
    # in `_wake` orders it with any `arm`.
    store_relaxed(load_relaxed(handle + HEADER_AT) + STATE, _FINISHED)
    _wake(handle)


@inlined
def _admit(handle: int, done: int, count: int) -> int:
    """How many of `count` records may be written now. The gates are looked at once a lap while readers keep up."""
    if since(forward(done, count), load_relaxed(handle + LIMIT)) <= 0:
        return count
    count = min(count, max(room(handle), 0))
    if count == 0:
        stalls = load_relaxed(handle + STALLED) + 1
        store_relaxed(handle + STALLED, stalls)
        store_relaxed(load_relaxed(handle + HEADER_AT) + STALLS, stalls)
    return count


@inlined
def _publish(handle: int, done: int) -> None:
    _show(handle, done)
    rouse(handle)


@inlined
def _show(handle: int, done: int) -> None:
    store_release(load_relaxed(handle + HEADER_AT) + PUB, done)
    store_relaxed(handle + NEXT, done)


@inlined
def _wake(handle: int) -> None:
    sleepers = exchange(load_relaxed(handle + TABLE_AT) + WAITERS, 0)
    for index in range(READERS_MAX):
        if (sleepers >> index) & 1:
            signal(handle, load_relaxed(handle + WAKE_FDS + index * WORD))
