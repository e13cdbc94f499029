"""Receipts: how the one who waits for the outcome of a message hears of it."""

from __future__ import annotations

from typing import Any, Protocol

from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from aegis.errors import check

__all__ = ["Receipt", "Reply"]


class Receipt(Protocol):
    """Travels with a message; exactly one of `done` and `failed` is called, when it has left the mailbox."""

    @property
    def void(self) -> bool:
        """True when nobody waits any more: the message is then not handled at all."""
        ...

    def done(self, value: object) -> None:
        """The message was handled; this is what the handler returned."""
        ...

    def failed(self, error: Exception) -> None:
        """The message was not handled, or not to its end."""
        ...


class Reply:
    """The receipt of an `ask`: one task waits for it."""

    __slots__ = ("_error", "_task", "_value", "is_set", "void")

    def __init__(self) -> None:
        self.void = False
        self.is_set = False
        self._value: Any = None
        self._error: Exception | None = None
        self._task: Task | None = None

    def done(self, value: object) -> None:
        """Answer the asker."""
        self._set(value, None)

    def failed(self, error: Exception) -> None:
        """Raise in the asker."""
        self._set(None, error)

    def _set(self, value: object, error: Exception | None) -> None:
        check(not self.is_set, "an ask is answered once")
        self._value, self._error, self.is_set = value, error, True
        task, self._task = self._task, None
        if task is not None:
            reschedule(task)

    async def wait(self) -> Any:
        """Wait for the answer, and return or raise it."""
        check(self._task is None, "one task waits for an answer")
        if not self.is_set:
            self._task = current_task()
            await wait_task_rescheduled(self._abort)
        return self.result()

    def result(self) -> Any:
        """The answer that has come.

        Raises:
            Broken: when none has.
            Exception: whatever `failed` was called with.
        """
        check(self.is_set, "an ask has a result once it is answered")
        if self._error is not None:
            raise self._error
        return self._value

    def _abort(self, _: object) -> Abort:
        self._task = None
        return Abort.SUCCEEDED
