"""The cases that the desk keeps, and which thread is whose."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from bots.framework import Context, Key

from .cases import Case

RECENT: Final = Key("recent", list[tuple[str, int]], default=[])
"""The desk's last messages in the staff room and the cases that they are of: people reply to one of them."""
REMEMBERED: Final = 100
NUMBER: Final = Key("number", int, default=0)
OPEN: Final = Key("open", int)
"""Of a person's chat: their case."""
FOLLOWED: Final = timedelta(days=2)
"""So long edits and redactions of a message are followed."""
BIND_AFTER: Final = timedelta(hours=1)


class Book:
    """The cases, as one handler sees them: what it changes happens with its other effects, or not at all."""

    def __init__(self, ctx: Context, keep: timedelta) -> None:
        self._ctx = ctx
        self._state = ctx.plugin_state
        self._keep = keep

    async def open(self, topic: str, *, room: str, name: str, contact: str = "") -> Case:
        """A new case."""
        await self._state.update(NUMBER, lambda number: number + 1)
        number = await self._state.get(NUMBER)
        case = Case(number=number, topic=topic, room=room, name=name, contact=contact)
        self._state.set(_case(number), case)
        if room:
            self._ctx.states.room(room).set(OPEN, number)
        await self.sent(case, case.key)
        self.bind_later(number)
        return case

    async def get(self, number: int | None) -> Case | None:
        """One case."""
        return None if number is None else await self._state.get(_case(number))

    async def all_open(self) -> list[Case]:
        """Those that are not closed."""
        found = [await self._state.get(Key(name, Case)) for name in await self._state.keys("case:")]
        return sorted((case for case in found if case and case.state == "open"), key=lambda case: case.number)

    async def of_chat(self, room: str) -> Case | None:
        """The open case of a person's chat."""
        case = await self.get(await self._ctx.states.room(room).get(OPEN))
        return case if case is not None and case.state == "open" else None

    def unchanged(self, case: Case) -> None:
        """If somebody changes the case in this very moment, the handler is run again."""
        self._state.compare_and_set(_case(case.number), case, case)

    def change(self, before: Case, after: Case) -> None:
        """Put a changed case in its place. A closed one is forgotten after a time."""
        ttl = self._keep if after.state == "closed" else None
        self._state.compare_and_set(_case(before.number), before, after, ttl=ttl)
        if after.state == "closed" and after.root:
            self._state.set(_thread(after.root), after.number, ttl=self._keep)

    # Which thread is whose. A message has an event id only once it is sent, and references last a week.

    async def sent(self, case: Case, key: str) -> None:
        """Remember that a message of the case is sent to the staff."""
        entry = (self._ctx.reference(key), case.number)
        await self._state.update(RECENT, lambda recent: [*recent, entry][-REMEMBERED:])

    async def of_message(self, event_id: str) -> Case | None:
        """The case that a message of the desk in the staff room belongs to."""
        if not event_id:
            return None
        number = await self._state.get(_thread(event_id))
        if number is None:
            recent = await self._state.get(RECENT)
            ids = await self._ctx.event_ids(reference for reference, _ in recent)
            number = next((each for reference, each in recent if ids.get(reference) == event_id), None)
        return await self.get(number)

    def bind_later(self, number: int) -> None:
        """Have :meth:`bind` called."""
        self._ctx.later(self._ctx.now() + BIND_AFTER, "bind", number, key=f"bind:{number}")

    async def bind(self, number: int) -> None:
        """Keep the event id of a case's first message, for cases that last."""
        case = await self.get(number)
        if case is None or case.root:
            return
        found = await self._ctx.event_ids([self._ctx.reference(case.key)])
        if not found:
            self.bind_later(number)  # the homeserver is away
            return
        (root,) = found.values()
        self._state.set(_thread(root), number)
        self.change(case, case.model_copy(update={"root": root}))

    def root(self, case: Case) -> str:
        """What messages of the case's thread refer to."""
        return case.root or self._ctx.reference(case.key)

    # Which message went where

    def went(self, event_id: str, room: str) -> None:
        """Remember that the message at hand has a copy in a room."""
        self._ctx.state.set(_copy(event_id), room)

    async def copy_of(self, event_id: str) -> str | None:
        """The room that has a copy of a message of this room."""
        return await self._ctx.state.get(_copy(event_id))


def _case(number: int) -> Key[Case | None]:
    return Key(f"case:{number}", Case, secret=True)


def _thread(event_id: str) -> Key[int | None]:
    return Key(f"thread:{event_id}"[:255], int)


def _copy(event_id: str) -> Key[str | None]:
    return Key(f"copy:{event_id}"[:255], str, ttl=FOLLOWED)
