"""Every exception of the engine, under four roots that say what to do without reading the message.

    AegisError
    ├── Refused        a rule said no; nothing changed; go on
    │   ├── Rejected   the simulated exchange turned a request down, with the code that Binance publishes
    │   ├── LockedOut      the exchange does not take our key
    │   └── Unhandled        an ask for which the actor has no handler
    ├── Unknown        what happened outside is not known; ask, never assume, never repeat
    ├── Unavailable    something needed is away; back off and try later
    │   ├── ActorDead        the actor asked has ended for good
    │   ├── ActorRestarting  the actor asked crashed and comes back; the message was taken out
    │   └── MailboxFull      the mailbox had no room for an ask
    └── Broken         an invariant failed; stop, and leave the evidence
        └── HandlerBlocked   a handler waited where nothing can wake it

A refusal in the flow of trading is a value (`aegis.orders.limits.Refused…`), not an exception: these are for
boundaries where a caller has to be stopped.
"""

from __future__ import annotations

__all__ = [
    "ActorDead",
    "ActorRestarting",
    "AegisError",
    "Broken",
    "HandlerBlocked",
    "LockedOut",
    "MailboxFull",
    "Refused",
    "Rejected",
    "Unavailable",
    "Unhandled",
    "Unknown",
    "check",
]


class AegisError(Exception):
    """The root of all: catch one of the four below instead."""


class Refused(AegisError):
    """A rule said no and nothing changed: wrong configuration, wrong usage, a request turned down."""


class Rejected(Refused):
    """The simulated exchange turned a request down: what it answers with."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        """Take the published error code, its text and the HTTP status that carries them."""
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status


class LockedOut(Refused):
    """The exchange does not take our key, or no longer: it will do nothing that we ask."""


class Unhandled(Refused):
    """An actor was asked something for which its class has no handler."""


class Unknown(AegisError):
    """The outcome of something outside is not known and has to be found out."""


class Unavailable(AegisError):
    """Something that is needed cannot be reached or used at the moment."""


class ActorDead(Unavailable):
    """The actor that was asked has ended for good; `message` is handed back."""

    def __init__(self, text: str, message: object = None) -> None:
        """Take what happened and the message that was not answered."""
        super().__init__(text)
        self.message = message


class ActorRestarting(Unavailable):
    """The actor that was asked crashed and comes back; `message` is handed back and will not be handled."""

    def __init__(self, text: str, message: object = None) -> None:
        """Take what happened and the message that was not answered."""
        super().__init__(text)
        self.message = message


class MailboxFull(Unavailable):
    """An ask found no room, or its message had to make room for a newer one."""


class Broken(AegisError):
    """An invariant does not hold: a bug, a torn record, a failed sync. Stop and keep the evidence."""


class HandlerBlocked(Broken):
    """A handler waited for something in a replay by direct calls, where nothing runs that could wake it."""


def check(holds: bool, claim: str) -> None:
    """Stop at a broken invariant, in production too (`assert` would vanish under `-O`).

    Args:
        holds: the invariant.
        claim: what should have been true, as a sentence for the one who reads the crash.

    Raises:
        Broken: when it does not hold.
    """
    if not holds:
        raise Broken(claim)
