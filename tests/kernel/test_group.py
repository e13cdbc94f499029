"""A group after its end."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from aegis.errors import Refused
from aegis.kernel import Actor
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


class Clerk(Actor):
    """Waits for nothing."""


async def test_closed_group_takes_nobody(mock_clock: MockClock) -> None:
    """Nobody is spawned into a closed group or system, and the refusal takes no name."""
    async with open_kit() as kit:
        group = await kit.system.group("g")
        await group.stop()
        await kit.settle()
        with pytest.raises(Refused, match="g is closed"):
            await group.spawn(Clerk)
        with pytest.raises(Refused, match="g is closed"):
            await group.group("inner")
        assert (kit.system.tree(), kit.system.stats().actors) == ("kit", ())
        assert (await kit.spawn(Clerk)).alive
    with pytest.raises(Refused, match="kit is closed"):
        await kit.spawn(Clerk)
    with pytest.raises(Refused, match="kit is closed"):
        await kit.system.group("late")
