"""Which records are still whole, found from the slots alone.

A writer may die at any instruction, and on a disk the header may be older than the slots. Each slot proves itself:
its two stamps are equal, and name a sequence that belongs into just this slot.
"""

from __future__ import annotations

import numpy as np

from aegis.errors import check
from aegis.shm.layout import Records, signed

__all__ = ["surviving"]


def surviving(slots: Records, header: Records) -> tuple[int, int]:
    """Find the unbroken run of records that ends with the newest whole one.

    Args:
        slots: the ring's slots (`Geometry.slot_dtype`).
        header: the ring's header (`HEADER`).

    Returns:
        The sequence before the oldest of the run, and the newest. Where no slot is whole, as in a new ring or one
        whose writer died with every slot claimed, both are what was published.
    """
    first = int(header["first"][0])
    begin, end = slots["begin"].copy(), slots["end"].copy()
    age_of_first = end - np.int64(first)  # arrays wrap silently, as sequences must
    index = np.arange(len(slots))
    whole = (begin == end) & (((end - 1) & (len(slots) - 1)) == index) & (age_of_first > 0)
    if not whole.any():
        return (published := int(header["pub"][0])), published
    count = int(age_of_first[whole].max())
    steps_back = count - age_of_first[whole]
    found = np.zeros(len(slots), np.bool_)
    found[steps_back[steps_back < len(slots)]] = True
    run = len(slots) if found.all() else int(np.argmin(found))
    check(
        0 < run <= min(count, len(slots)),
        "what was found lies between the first record and the newest",
    )
    return signed(first + count - run), signed(first + count)
